// An engine and its server apart, over gRPC (proto/turgo/v1/engine.proto). Nothing here names a type of gRPC:
// a build without it has no_grpc.cpp in the place of all other files of this folder.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/pipeline.h"

namespace turgo {

struct EngineServerConfig {
  std::string address = "127.0.0.1";
  int32_t port = 23334;  // 0: any free one
  std::string model_name;
  std::vector<std::string> api_keys;  // neither these nor a file: everybody may call
  std::string api_keys_file;          // KeyRing's
  std::string ssl_certfile, ssl_keyfile;
  std::string ssl_client_ca;  // PEM: callers show a certificate of these authorities that is valid now
  int32_t max_message_bytes = 16 << 20;
  double drain_seconds = 30;
};

class EngineServer {
 public:
  // Listens. Throws Error{kIo, kNotFound, kInvalidArgument}; kUnsupported in a build without gRPC.
  static std::unique_ptr<EngineServer> start(Pipeline& pipeline, const EngineServerConfig& config);
  virtual ~EngineServer() = default;  // cancels what still runs
  virtual int port() const = 0;
  // Health says NOT_SERVING, new requests are refused; returns when none runs, at the latest after the time
  // to drain.
  virtual void drain() = 0;
  virtual void reload_keys() = 0;
};

struct RemoteConfig {
  std::string url;                // grpc://HOST:PORT, or grpcs:// for TLS
  std::string key;                // one of the engine's --api-keys
  std::string ca_file;            // PEM, for grpcs; "": the system's
  std::string certfile, keyfile;  // PEM: who this caller is, for engines that ask; both or none
};

// Throws Error{kInvalidArgument} for what is no such URL.
void check_remote(const RemoteConfig& config);
// What the engine calls its model. Throws EngineAway.
std::string remote_model_name(const RemoteConfig& config);
// A pipeline whose engine is there: text is done here, with the files that the engine sends. Its Engine is a
// Grammars too. Throws EngineAway, and what Pipeline::open throws about tokenizers and templates.
std::unique_ptr<Pipeline> open_remote(const RemoteConfig& remote, const PipelineConfig& config);

}  // namespace turgo
