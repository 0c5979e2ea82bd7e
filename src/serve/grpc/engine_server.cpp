#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include "core/log.h"
#include "io/json_file.h"
#include "serve/grpc/engine_service.h"
#include "serve/grpc/grpc_api.h"

namespace turgo {
namespace {

constexpr int kMaxThreads = 64;  // of gRPC's pool: calls beyond are answered RESOURCE_EXHAUSTED

std::shared_ptr<grpc::ServerCredentials> credentials(const EngineServerConfig& config) {
  if (config.ssl_certfile.empty()) return grpc::InsecureServerCredentials();
  bool asks = !config.ssl_client_ca.empty();
  grpc::SslServerCredentialsOptions options(asks ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                                                 : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
  if (asks) options.pem_root_certs = read_text_file(config.ssl_client_ca, 16 << 20);
  options.pem_key_cert_pairs.push_back(
      {read_text_file(config.ssl_keyfile, 1 << 20), read_text_file(config.ssl_certfile, 1 << 20)});
  return grpc::SslServerCredentials(options);
}

class GrpcEngineServer : public EngineServer {
 public:
  GrpcEngineServer(Pipeline& pipeline, const EngineServerConfig& config)
      : config_(config),
        keys_(std::make_shared<KeyRing>(config.api_keys, config.api_keys_file)),
        service_(pipeline, config.model_name, keys_) {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    std::string address = fmt::format("{}:{}", config.address, config.port);
    builder.AddListeningPort(address, credentials(config), &port_);
    builder.RegisterService(&service_);
    builder.SetMaxReceiveMessageSize(config.max_message_bytes);
    builder.SetMaxSendMessageSize(64 << 20);
    builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
    builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 4);
    grpc::ResourceQuota quota("turgo");
    quota.SetMaxThreads(kMaxThreads);
    builder.SetResourceQuota(quota);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a port in use is a mistake
    builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 16 << 10);
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 4096);
    // Servers ping every five seconds; who pings twice as often is cut off.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 2500);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    server_ = builder.BuildAndStart();
    if (!server_ || port_ == 0)
      fail(ErrorCode::kIo, "can not listen on {}; is the port in use, the address this machine's?", address);
    health(true);
  }

  ~GrpcEngineServer() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    service_.stop_workers();
  }

  int port() const override { return port_; }

  void drain() override {
    service_.refuse_new();
    health(false);
    if (!service_.wait_for_calls(config_.drain_seconds)) log_warning("answers still run; they are cut off");
  }

  void reload_keys() override { keys_->reload(); }

 private:
  void health(bool is_serving) {
    for (const char* name : {"", "turgo.v1.Engine"})
      server_->GetHealthCheckService()->SetServingStatus(name, is_serving);
  }

  EngineServerConfig config_;
  std::shared_ptr<KeyRing> keys_;
  EngineService service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

std::unique_ptr<EngineServer> EngineServer::start(Pipeline& pipeline, const EngineServerConfig& config) {
  return std::make_unique<GrpcEngineServer>(pipeline, config);
}

}  // namespace turgo
