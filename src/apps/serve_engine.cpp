// `turgo serve engine`: a model behind gRPC, for `turgo serve api_server --engine` and other callers.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "apps/command.h"
#include "apps/output.h"
#include "apps/sd_notify.h"
#include "apps/server_options.h"
#include "core/error.h"
#include "core/log.h"
#include "serve/grpc/grpc_api.h"
#include "serve/models/model_host.h"

namespace turgo {
namespace {

struct ServeEngine {
  std::string model, config;
  EngineServerConfig server;
  PipelineConfig pipeline;
};

void fill(ServeEngine& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("grpc_host", &o.server.address, "address to listen on; 0.0.0.0: every one of this machine")
      .label("ADDRESS");
  list.add("grpc_port", &o.server.port, "port; 0: any free one").range(0, 65535).label("PORT");
  list.add("model_name", &o.server.model_name, "what servers call the model")
      .label("NAME")
      .shown_default("the file's name");
  list_callers(list, {o.server.api_keys, o.server.api_keys_file});
  list_tls(list, {o.server.ssl_certfile, o.server.ssl_keyfile, ": TLS"});
  list.add("ssl_client_ca", &o.server.ssl_client_ca,
           "PEM certificates of authorities: callers must show a certificate of theirs")
      .label("FILE");
  list.add("max_queue", &o.pipeline.max_queue, "requests that may wait; more are refused")
      .range(0, 1 << 20)
      .label("N")
      .shown_default("1024");
  list_drain(list, o.server.drain_seconds);
  list_config_file(list, o.config);
  list_options(o.pipeline, list, false);
}

// Signals are taken by one thread. Until there is a server, SIGINT and SIGTERM simply end the program.
class SignalWaiter {
 public:
  SignalWaiter() {
    sigemptyset(&set_);
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);  // of all threads, which inherit it
    early_ = std::thread([this] {
      timespec pause{0, 50'000'000};
      while (!is_up_)
        if (int signal = sigtimedwait(&set_, nullptr, &pause); signal == SIGINT || signal == SIGTERM)
          _exit(128 + signal);
    });
  }
  ~SignalWaiter() { server_is_up(); }

  void server_is_up() {
    is_up_ = true;
    if (early_.joinable()) early_.join();
  }
  int wait() const {
    int signal = 0;
    sigwait(&set_, &signal);
    return signal;
  }

 private:
  sigset_t set_{};
  std::atomic<bool> is_up_ = false;
  std::thread early_;
};

int run(const ServeEngine& o) {
  if (o.server.ssl_certfile.empty() != o.server.ssl_keyfile.empty())
    fail(ErrorCode::kInvalidArgument, "TLS needs both --ssl-certfile and --ssl-keyfile");
  if (!o.server.ssl_client_ca.empty() && o.server.ssl_certfile.empty())
    fail(ErrorCode::kInvalidArgument, "--ssl-client-ca needs --ssl-certfile and --ssl-keyfile");
  SignalWaiter signals;
  EngineServerConfig config = o.server;
  if (config.model_name.empty()) config.model_name = model_name_of(o.model);
  std::unique_ptr<Pipeline> pipeline = Pipeline::open(o.model, o.pipeline);
  auto server = EngineServer::start(*pipeline, config);
  signals.server_is_up();
  write_stdout(fmt::format("serving {} on {}://{}:{}\n", config.model_name,
                           config.ssl_certfile.empty() ? "grpc" : "grpcs",
                           config.address == "0.0.0.0" ? "localhost" : config.address, server->port()));
  bool is_loopback = config.address.starts_with("127.") || config.address == "localhost" ||
                     config.address == "[::1]" || config.address.starts_with("unix:");
  if (!is_loopback && config.api_keys.empty() && config.api_keys_file.empty())
    warn_of_open_server(config.address, "this engine");
  sd_notify_state("READY=1");
  while (signals.wait() == SIGHUP) try {
      server->reload_keys();
    } catch (const Error& error) {
      log_warning("the keys stay as they were: {}", error.what());
    }
  sd_notify_state("STOPPING=1");
  std::thread second([&signals] {  // a second signal does not wait for answers
    signals.wait();
    _exit(1);
  });
  second.detach();
  server->drain();
  server.reset();
  pipeline.reset();
  return 0;
}

}  // namespace

Command serve_engine_command() {
  Command command = make_command("serve engine",
                                 "Serve a model over gRPC, for servers on this or other machines", fill, run);
  command.reads_environment = true;
  return command;
}

}  // namespace turgo
