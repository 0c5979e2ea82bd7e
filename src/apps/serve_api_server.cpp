// `turgo serve api_server`: the model behind HTTP, with LMDeploy 0.3.0's flags.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "apps/command.h"
#include "apps/output.h"
#include "apps/sd_notify.h"
#include "apps/server_options.h"
#include "core/error.h"
#include "core/log.h"
#include "serve/lmdeploy/terminate.h"
#include "serve/models/model_router.h"
#include "serve/observe/observability.h"
#include "serve/proxy/registrar.h"

namespace turgo {
namespace {

struct ServeApi {
  std::vector<std::string> models;
  std::string models_dir;
  std::vector<std::string> engines;
  std::string engine_key, engine_ca, engine_certfile, engine_keyfile;
  double idle_timeout = 0, memory = 0;
  int32_t max_models = 0;
  HttpServerConfig http;
  ApiConfig api;
  ObserveConfig observe;
  PipelineConfig pipeline;
  bool ssl = false, no_web = false, allow_terminate_by_client = false;
  RegistrarConfig registrar;
  std::vector<std::string> adapters;
  std::string qos_config_path, meta_instruction, cap, config;
  int32_t port = 23333, max_body = 8, max_connections = 4096;
};

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

void fill(ServeApi& o, OptionList& list) {
  list.add("model", &o.models,
           "model folders or GGUF files; the first is the one that requests mean by default")
      .positional(false);
  list.add("models_dir", &o.models_dir, "folder of models, loaded when they are asked for").label("FOLDER");
  list.add("engine", &o.engines,
           "a model in a process of its own (`turgo serve engine`), as grpc://HOST:PORT")
      .label("URL");
  list.add("engine_key", &o.engine_key, "one of the engine's --api-keys").label("KEY");
  list.add("engine_ca", &o.engine_ca, "PEM certificates that grpcs://HOST:PORT is checked by")
      .label("FILE")
      .shown_default("the system's");
  list.add("engine_certfile", &o.engine_certfile, "PEM certificate that the engine is shown").label("FILE");
  list.add("engine_keyfile", &o.engine_keyfile, "PEM key of it").label("FILE");
  list.add("max_models", &o.max_models, "models in memory at once; 0: as many as fit")
      .range(0, 1000)
      .label("N");
  list.add("memory", &o.memory, "GiB for the weights of all models; 0: 0.8 of what is free")
      .range(0, 1e6)
      .label("GIB");
  list.add("idle_timeout", &o.idle_timeout, "seconds after which an unused model sleeps; 0: never")
      .range(0, 1e9)
      .label("S");
  list_address(list, o.http, o.port);
  list.add("unix_socket", &o.http.unix_socket, "listen on this socket too").label("PATH");
  list.add("model_name", &o.api.model_name, "what requests call the model")
      .label("NAME")
      .shown_default("the file's name");
  list_callers(list, {o.api.api_keys, o.api.api_keys_file, true});
  list_access(list, o.api.access);
  list.add("api_prefix", &o.api.api_prefix, "in front of every route").label("PATH");
  list.add("no_web", &o.no_web, "serve no web page at /");
  list.add("max_queue", &o.pipeline.max_queue, "requests that may wait; more are answered 429")
      .range(0, 1 << 20)
      .label("N")
      .shown_default("1024");
  list.add("sessions_dir", &o.api.sessions_dir, "where /v1/sessions/ID/save writes; none: it may not")
      .label("FOLDER");
  list.add("timeout", &o.api.timeout, "seconds that an answer may take; 0: any").range(0, 1e6).label("S");
  list.add("max_body", &o.max_body, "MiB that a request's body may have").range(1, 1024).label("MIB");
  list.add("max_connections", &o.max_connections, "connections at once; more are answered 503")
      .range(1, 1 << 20)
      .label("N");
  list.add("header_timeout", &o.http.header_seconds, "seconds that a request's header may take")
      .range(0.01, 1e6)
      .label("S");
  list.add("body_timeout", &o.http.body_seconds, "seconds that a request's body may take")
      .range(0.01, 1e6)
      .label("S");
  list.add("write_timeout", &o.http.write_seconds, "seconds that a client may leave an answer unread")
      .range(0.01, 1e6)
      .label("S");
  list.add("keep_alive_timeout", &o.http.idle_seconds, "seconds that a connection may stay without a request")
      .range(0.01, 1e6)
      .label("S");
  list_drain(list, o.http.drain_seconds);
  list.add("access_log", &o.observe.access_log,
           "a JSON line per request; -: stderr; SIGHUP opens the file again (probes are left out)")
      .label("FILE");
  list.add("otlp_traces_endpoint", &o.observe.otlp_traces_endpoint,
           "OpenTelemetry collector for a span per request, as http://localhost:4318/v1/traces")
      .label("URL")
      .shown_default("$OTEL_EXPORTER_OTLP_ENDPOINT");
  list.add("proxy_url", &o.registrar.proxy_url, "distributor (`turgo serve proxy`) to register with")
      .label("URL");
  list.add("proxy_key", &o.registrar.operator_key, "the distributor's --operator-key").label("KEY");
  list.add("node_url", &o.registrar.node_url, "how the distributor reaches this server")
      .label("URL")
      .shown_default("this machine's address on the way to it");
  list.add("allow_credentials", &o.api.access.allow_credentials,
           "pages of those origins may send cookies and read what comes back");
  list.add("allow_methods", &o.api.access.allow_methods, "that those pages may use; *: any")
      .label("METHOD")
      .shown_default("those of the routes");
  list.add("allow_headers", &o.api.access.allow_headers, "that those pages may send; *: any")
      .label("HEADER")
      .shown_default("authorization, content-type, x-api-key");
  list.add("allow_terminate_by_client", &o.allow_terminate_by_client,
           "GET /terminate ends the server, as SIGTERM does; /nodes/terminate of a distributor asks it");
  list.add("ssl", &o.ssl, "TLS; SIGHUP reads certificate and key again");
  list_tls(list, {o.http.ssl_certfile, o.http.ssl_keyfile, "; --ssl alone takes $SSL_CERTFILE",
                  "; --ssl alone takes $SSL_KEYFILE"});
  list_config_file(list, o.config);
  list.add("tool_call_parser", &o.api.tool_call_parser,
           "how the model writes tool calls: " + joined(list_tool_formats()) + ", or none")
      .label("NAME")
      .shown_default("as its template tells");
  list.add("reasoning_parser", &o.api.reasoning_parser,
           "think: text in <think>…</think> is reasoning; none: it is content")
      .choices({"", "think", "none"})
      .label("NAME")
      .shown_default("as its template tells");
  list.add("adapters", &o.adapters, "not built yet").label("NAME=PATH");
  list.add("qos_config_path", &o.qos_config_path, "not built yet").label("FILE");
  list.add("meta_instruction", &o.meta_instruction, "not built yet; use a system message").label("TEXT");
  list.add("cap", &o.cap, "accepted where it is chat").choices({"", "chat"}).label("CAP");
  list_options(o.pipeline, list);
}

void refuse_what_is_missing(const ServeApi& o) {
  if (!o.adapters.empty()) fail(ErrorCode::kUnsupported, "--adapters is not built yet");
  const std::string& parser = o.api.tool_call_parser;
  if (!parser.empty() && parser != "none" && !find_tool_format(parser))
    fail(ErrorCode::kInvalidArgument, "--tool-call-parser: expected one of {} or none, got {}",
         joined(list_tool_formats()), quote(parser));
  if (!o.qos_config_path.empty()) fail(ErrorCode::kUnsupported, "--qos-config-path is not built yet");
  if (!o.meta_instruction.empty())
    fail(ErrorCode::kUnsupported, "--meta-instruction is not built yet; send a system message");
  if (!o.api.api_prefix.empty() && (o.api.api_prefix[0] != '/' || o.api.api_prefix.back() == '/'))
    fail(ErrorCode::kInvalidArgument, "--api-prefix: expected a path as /llm, got {}",
         quote(o.api.api_prefix));
}

void announce(const HttpServer& server, const ServeApi& o, const HttpServerConfig& http,
              const std::string& model_name) {
  if (server.port() > 0) {
    const char* scheme = http.ssl_certfile.empty() ? "http" : "https";
    std::string host = o.http.address == "0.0.0.0" ? "localhost" : o.http.address;
    write_stdout(fmt::format("serving {} on {}://{}:{}{}\n", model_name, scheme, host, server.port(),
                             o.api.api_prefix));
  }
  if (!o.http.unix_socket.empty())
    write_stdout(fmt::format("serving {} on {}\n", model_name, o.http.unix_socket));
  if (!server.is_loopback() && o.api.api_keys.empty() && o.api.api_keys_file.empty())
    warn_of_open_server(o.http.address, "this server");
}

// --ssl as LMDeploy has it: the files are named by the environment.
void choose_certificate(const ServeApi& o, HttpServerConfig& http) {
  auto from_environment = [](std::string& path, const char* name) {
    if (const char* value = path.empty() ? std::getenv(name) : nullptr) path = value;
  };
  if (o.ssl) {
    from_environment(http.ssl_certfile, "SSL_CERTFILE");
    from_environment(http.ssl_keyfile, "SSL_KEYFILE");
  }
  bool wanted = o.ssl || !http.ssl_certfile.empty() || !http.ssl_keyfile.empty();
  if (wanted && (http.ssl_certfile.empty() || http.ssl_keyfile.empty()))
    fail(ErrorCode::kInvalidArgument,
         "TLS needs --ssl-certfile and --ssl-keyfile, or --ssl with SSL_CERTFILE and SSL_KEYFILE set");
}

// A server lives for months: what one large request took goes back to the system. glibc would raise its
// threshold for separate mappings after the first large free, and keep an arena per thread.
void keep_memory_small() {
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  mallopt(M_TRIM_THRESHOLD, 1 << 20);
  mallopt(M_ARENA_MAX, 4);
}

// An engine is called as it calls itself, the first model as --model-name says.
void add_engines(const ServeApi& o, std::vector<ModelSpec>& models) {
  if (o.engine_certfile.empty() != o.engine_keyfile.empty())
    fail(ErrorCode::kInvalidArgument, "expected both --engine-certfile and --engine-keyfile, or none");
  for (const std::string& url : o.engines) {
    auto engine = std::make_shared<const RemoteConfig>(
        RemoteConfig{url, o.engine_key, o.engine_ca, o.engine_certfile, o.engine_keyfile});
    check_remote(*engine);
    bool is_named = models.empty() && !o.api.model_name.empty();
    std::string name;
    for (int tries = 20; !is_named && name.empty(); --tries) try {
        name = remote_model_name(*engine);
      } catch (const EngineAway& error) {
        if (tries == 0)
          fail(ErrorCode::kIo, "{}; --model-name lets the server start without it", error.what());
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
      }
    models.push_back({name, url, engine});
  }
}

int run(const ServeApi& o) {
  keep_memory_small();
  refuse_what_is_missing(o);
  ApiConfig api = o.api;
  std::vector<ModelSpec> models;
  for (const std::string& path : o.models) models.push_back({model_name_of(path), path});
  add_engines(o, models);
  if (!api.model_name.empty() && !models.empty()) models[0].name = api.model_name;
  if (!o.models_dir.empty())
    for (ModelSpec& spec : find_models(o.models_dir)) models.push_back(std::move(spec));
  if (models.empty())
    fail(ErrorCode::kInvalidArgument,
         "--model is missing: expected models, --models-dir or --engine; see `turgo serve "
         "api_server --help`");
  api.model_name = models[0].name;
  HttpServerConfig http = o.http;
  http.port = o.port;
  http.max_connections = static_cast<size_t>(o.max_connections);
  api.max_body = static_cast<size_t>(o.max_body) << 20;
  http.handle_signals = true;
  choose_certificate(o, http);
  ModelRouter handler(models, {api, o.pipeline, o.idle_timeout, o.max_models,
                               static_cast<int64_t>(o.memory * (1 << 30)), !o.no_web});
  // Models that were named load at once, so that a mistake ends the program; those of a folder when asked
  // for. An engine that is away may come later.
  for (size_t i = 0; i < o.models.size() + o.engines.size(); ++i) try {
      handler.load_and_wait(*handler.hosts()[i]);
    } catch (const EngineAway& error) {
      log_warning("{}; requests are answered 503 until it is there", error.what());
    }
  add_terminate_route(handler, o.allow_terminate_by_client
                                   ? std::function<void()>([] { kill(getpid(), SIGTERM); })
                                   : nullptr);
  Observability observability(o.observe, handler.front());
  http.on_reload = [&] {
    observability.reopen();
    handler.front().keys().reload();
  };
  http.on_drain = [] { sd_notify_state("STOPPING=1"); };
  auto server = HttpServer::listen(http, handler);
  handler.set_readiness([&server] { return server->draining(); });
  announce(*server, o, http, api.model_name);
  std::vector<std::string> names;
  for (const auto& host : handler.hosts()) names.push_back(host->spec().name);
  Registrar registrar(o.registrar, server->port(), names, [&server] { return server->draining(); });
  sd_notify_state("READY=1");
  server->run();
  return 0;
}

}  // namespace

Command serve_api_server_command() {
  Command command = make_command("serve api_server",
                                 "Serve a model over HTTP: OpenAI's and LMDeploy's interfaces", fill, run);
  command.reads_environment = true;
  return command;
}

}  // namespace turgo
