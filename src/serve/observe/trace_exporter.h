// Sends finished requests as spans to an OpenTelemetry collector: OTLP over HTTP in JSON
// (https://opentelemetry.io/docs/specs/otlp/). A request is a server span; what the model did for it is its
// child, with the attributes that vLLM's spans have. A collector that does not answer costs spans, never
// answers.
#pragma once

#include <string>

#include "serve/client/http_exchange.h"
#include "serve/http/http_log.h"
#include "serve/observe/background_batch.h"

namespace turgo {

class TraceExporter {
 public:
  struct Span {
    HttpLogEntry entry;
    std::string route;
  };

  // `endpoint`: "http://localhost:4318/v1/traces". Throws Error{kInvalidArgument, kUnsupported} for what is
  // no such URL.
  TraceExporter(const std::string& endpoint, std::string service_name);

  void add(const HttpLogEntry& entry, const std::string& route);  // if the caller's trace is sampled
  int64_t num_dropped() const { return spans_.num_dropped(); }

 private:
  void send(const std::vector<Span>& spans);

  ServerUrl server_;
  std::string service_name_;
  BackgroundBatch<Span> spans_;
};

// The body of one export.
std::string otlp_json(const std::vector<TraceExporter::Span>& spans, const std::string& service_name);

}  // namespace turgo
