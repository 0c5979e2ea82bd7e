// `turgo serve proxy`: one address in front of many servers, with LMDeploy's flags.
#include <sys/resource.h>

#include "apps/command.h"
#include "apps/output.h"
#include "apps/sd_notify.h"
#include "apps/server_options.h"
#include "core/error.h"
#include "serve/proxy/proxy_server.h"

namespace turgo {
namespace {

struct ServeProxy {
  HttpServerConfig http;
  ProxyConfig proxy;
  int32_t port = 8000;
  std::string serving_strategy = "Hybrid", routing_strategy = "min_expected_latency";
  std::string config;
  bool disable_cache_status = false;
};

void fill(ServeProxy& o, OptionList& list) {
  list_address(list, o.http, o.port);
  list.add("node", &o.proxy.nodes, "a server's address as http://HOST:PORT; may be given several times")
      .label("URL");
  list.add("routing_strategy", &o.routing_strategy,
           "cache_aware: sessions and equal beginnings stay on a node; the others: by load")
      .choices({"random", "min_expected_latency", "min_observed_latency", "cache_aware"});
  list.add("serving_strategy", &o.serving_strategy, "accepted where it is Hybrid").choices({"Hybrid"});
  list.add("operator_key", &o.proxy.operator_key, "key of the /nodes routes; without it they are closed")
      .label("KEY");
  list.add("node_api_key", &o.proxy.node_api_key, "key that nodes are shown in place of the caller's")
      .label("KEY");
  list_callers(list, {o.proxy.api_keys, o.proxy.api_keys_file});
  list.add("state_file", &o.proxy.state_file, "where the nodes are kept over a restart")
      .label("FILE")
      .shown_default("~/.local/state/turgo/proxy-PORT.json");
  list.add("disable_cache_status", &o.disable_cache_status, "keep the nodes in memory alone");
  list.add("health_interval", &o.proxy.health.interval, "seconds between two checks of a node")
      .range(0.1, 3600)
      .label("S");
  list.add("health_timeout", &o.proxy.health.timeout,
           "seconds that a check may take; a node that fails twice is out")
      .range(0.1, 3600)
      .label("S");
  list.add("connect_timeout", &o.proxy.upstream.connect_seconds, "seconds that a node may take to accept")
      .range(0.05, 600)
      .label("S");
  list.add("timeout", &o.proxy.upstream.silence_seconds, "seconds without a byte from a node")
      .range(0.1, 1e6)
      .label("S");
  list.add("max_attempts", &o.proxy.max_attempts, "nodes that a request is tried on before its first byte")
      .range(1, 100)
      .label("N");
  list_drain(list, o.http.drain_seconds);
  list_access(list, o.proxy.access);
  list_tls(list, {o.http.ssl_certfile, o.http.ssl_keyfile, "; SIGHUP reads it again"});
  list_config_file(list, o.config);
}

// Two descriptors per answer: as many as the system lets this process have.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int run(const ServeProxy& o) {
  if (o.http.ssl_certfile.empty() != o.http.ssl_keyfile.empty())
    fail(ErrorCode::kInvalidArgument, "TLS needs both --ssl-certfile and --ssl-keyfile");
  if (o.disable_cache_status && !o.proxy.state_file.empty())
    fail(ErrorCode::kInvalidArgument, "--disable-cache-status and --state-file contradict each other");
  ProxyConfig config = o.proxy;
  config.table.strategy = parse_strategy(o.routing_strategy);
  for (std::string& url : config.nodes)
    while (url.ends_with('/')) url.pop_back();
  if (config.state_file.empty() && !o.disable_cache_status && o.port != 0)
    if (std::string folder = state_folder(); !folder.empty())
      config.state_file = fmt::format("{}/proxy-{}.json", folder, o.port);
  raise_descriptor_limit();
  HttpServerConfig http = o.http;
  http.port = o.port;
  http.max_connections = 16'384;
  http.num_workers = 2;
  http.handle_signals = true;
  ProxyServer proxy(config);
  http.on_reload = [&proxy] { proxy.keys().reload(); };
  http.on_drain = [] { sd_notify_state("STOPPING=1"); };
  auto server = HttpServer::listen(http, proxy);
  proxy.attach(*server);
  std::string host = o.http.address == "0.0.0.0" ? "localhost" : o.http.address;
  write_stdout(fmt::format("distributing over {} nodes on {}://{}:{}\n", proxy.table().nodes().size(),
                           http.ssl_certfile.empty() ? "http" : "https", host, server->port()));
  if (!server->is_loopback() && config.api_keys.empty() && config.api_keys_file.empty())
    warn_of_open_server(o.http.address, "this distributor");
  sd_notify_state("READY=1");
  server->run();
  proxy.detach();
  return 0;
}

}  // namespace

Command serve_proxy_command() {
  Command command =
      make_command("serve proxy", "Distribute requests over many servers behind one address", fill, run);
  command.reads_environment = true;
  return command;
}

}  // namespace turgo
