#include "serve/observe/observability.h"

#include <cstdlib>

namespace turgo {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// As OpenTelemetry's specification reads them: the general endpoint is a base for the path of each signal.
std::string find_endpoint(const std::string& given) {
  if (!given.empty()) return given;
  if (std::string own = environment("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); !own.empty()) return own;
  std::string base = environment("OTEL_EXPORTER_OTLP_ENDPOINT");
  while (base.ends_with('/')) base.pop_back();
  return base.empty() ? "" : base + "/v1/traces";
}

}  // namespace

Observability::Observability(const ObserveConfig& config, ApiServer& server) {
  if (!config.access_log.empty()) {
    log_ = std::make_unique<AccessLog>(config.access_log);
    server.observe([this, &server](const HttpLogEntry& entry, const std::string& route) {
      log_->write(entry, route);
      server.metrics().set_counter("turgo:access_log_dropped_total", log_->num_dropped());
    });
  }
  if (std::string endpoint = find_endpoint(config.otlp_traces_endpoint); !endpoint.empty()) {
    std::string name = environment("OTEL_SERVICE_NAME");
    traces_ = std::make_unique<TraceExporter>(endpoint, name.empty() ? "turgo" : name);
    server.observe([this, &server](const HttpLogEntry& entry, const std::string& route) {
      traces_->add(entry, route);
      server.metrics().set_counter("turgo:spans_dropped_total", traces_->num_dropped());
    });
  }
}

void Observability::reopen() {
  if (log_) log_->reopen();
}

}  // namespace turgo
