// Whether the server lives and can answer, what it is, and what it has counted.
#include "serve/api_server.h"

namespace turgo {

void add_health_routes(ApiServer& server) {
  auto alive = [](const Call&) { return respond_json({{"status", "ok"}}); };
  auto ready = [&server](const Call&) {
    std::string why_not = server.why_not_ready();
    if (why_not.empty()) return respond_json({{"status", "ok"}});
    return respond_with(error_response({503, why_not, "", "not_ready"}));
  };
  auto version = [](const Call&) { return respond_json({{"version", TURGO_VERSION}}); };
  auto metrics = [&server](const Call&) {
    return respond_with(
        {{200, "text/plain; version=0.0.4; charset=utf-8", {}},
         server.metrics().model_text(server.pipeline().engine().stats()) + server.metrics().server_text()});
  };
  RouteTable& routes = server.routes();
  routes.add("GET", "/livez", alive, {true, true, "Whether the process lives", "Status"});
  routes.add("GET", "/health", ready, {true, true, "Whether requests are taken", "Status"});
  routes.add("GET", "/readyz", ready, {true, true, "Whether requests are taken", "Status"});
  routes.add("GET", "/version", version, {false, true, "The program's version", "Version"});
  routes.add("GET", "/metrics", metrics, {false, false, "Counters in Prometheus' text format", "text/plain"});
}

}  // namespace turgo
