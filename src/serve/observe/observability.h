// What a server tells the outside about each request beside its metrics: the access log and the traces.
#pragma once

#include <memory>
#include <string>

#include "serve/api_server.h"
#include "serve/observe/access_log.h"
#include "serve/observe/trace_exporter.h"

namespace turgo {

struct ObserveConfig {
  std::string access_log;  // file, "-" = stderr, "" = none
  std::string
      otlp_traces_endpoint;  // "" = $OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, $OTEL_EXPORTER_OTLP_ENDPOINT, none
};

class Observability {
 public:
  // Throws Error for a file or address that can not be used. `server` may not outlive it once it runs.
  Observability(const ObserveConfig& config, ApiServer& server);
  void reopen();

 private:
  std::unique_ptr<AccessLog> log_;
  std::unique_ptr<TraceExporter> traces_;
};

}  // namespace turgo
