// The calls of turgo.v1.Engine that generate. The engine's thread only posts a job; a writer thread fetches
// what has come and hands it to gRPC, one message at a time: tokens that a slow reader has not taken are
// merged.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <turgo/v1/engine.pb.h>

namespace turgo {

class EngineService;

grpc::ServerUnaryReactor* begin_generate(EngineService& service, grpc::CallbackServerContext& context,
                                         const turgo::v1::GenerateRequest& request,
                                         turgo::v1::GenerateResponse& response);

grpc::ServerWriteReactor<turgo::v1::GenerateEvent>* begin_generate_stream(
    EngineService& service, grpc::CallbackServerContext& context, const turgo::v1::GenerateRequest& request);

}  // namespace turgo
