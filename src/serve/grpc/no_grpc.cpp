// A build without gRPC.
#include "core/error.h"
#include "serve/grpc/grpc_api.h"

namespace turgo {
namespace {

[[noreturn]] void no_grpc() {
  fail(ErrorCode::kUnsupported,
       "this build has no gRPC: ./run build --grpc makes one (Debian: libgrpc++-dev protobuf-compiler-grpc)");
}

}  // namespace

std::unique_ptr<EngineServer> EngineServer::start(Pipeline&, const EngineServerConfig&) {
  no_grpc();
}
void check_remote(const RemoteConfig&) {
  no_grpc();
}
std::string remote_model_name(const RemoteConfig&) {
  no_grpc();
}
std::unique_ptr<Pipeline> open_remote(const RemoteConfig&, const PipelineConfig&) {
  no_grpc();
}

}  // namespace turgo
