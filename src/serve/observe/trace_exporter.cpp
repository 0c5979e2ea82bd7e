#include "serve/observe/trace_exporter.h"

#include <unistd.h>

#include "core/error.h"
#include "core/json.h"
#include "core/log.h"

namespace turgo {
namespace {

using Span = TraceExporter::Span;

constexpr size_t kMaxSpans = 4096;
constexpr int kKindInternal = 1, kKindServer = 2, kStatusError = 2;

// OTLP's JSON writes 64-bit integers as strings.
Json attribute(const char* key, int64_t value) {
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}
Json attribute(const char* key, double value) {
  return {{"key", key}, {"value", {{"doubleValue", value}}}};
}
Json attribute(const char* key, const std::string& value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

std::string nanoseconds(std::chrono::system_clock::time_point begin, double seconds) {
  auto nanos = std::chrono::duration_cast<std::chrono::nanoseconds>(begin.time_since_epoch()).count();
  return std::to_string(nanos + static_cast<int64_t>(seconds * 1e9));
}

Json server_span(const Span& span) {
  const HttpLogEntry& e = span.entry;
  Json out = {{"traceId", e.trace.trace_id},
              {"spanId", e.trace.span_id},
              {"name", e.method + " " + span.route},
              {"kind", kKindServer},
              {"startTimeUnixNano", nanoseconds(e.begin, 0)},
              {"endTimeUnixNano", nanoseconds(e.begin, e.seconds)}};
  if (!e.trace.parent_id.empty()) out["parentSpanId"] = e.trace.parent_id;
  Json attributes =
      Json::array({attribute("http.request.method", e.method), attribute("http.route", span.route),
                   attribute("url.path", e.path.substr(0, 256)), attribute("client.address", e.client),
                   attribute("http.response.status_code", int64_t{e.status}),
                   attribute("http.response.body.size", static_cast<int64_t>(e.bytes)),
                   attribute("turgo.request_id", e.request_id)});
  if (!e.caller.empty()) attributes.push_back(attribute("enduser.id", e.caller));
  std::string error = e.answer.error.empty() ? e.error : e.answer.error;
  if (e.aborted) error = "client_left";
  if (!error.empty()) attributes.push_back(attribute("error.type", error));
  out["attributes"] = std::move(attributes);
  // A caller's mistake is no failure of the server.
  bool failed = e.status >= 500 || !e.answer.error.empty();
  out["status"] = failed ? Json{{"code", kStatusError}, {"message", error}} : Json::object();
  return out;
}

// The engine's part ends with the request; its times are the engine's own.
Json model_span(const Span& span) {
  const HttpLogEntry& e = span.entry;
  const AnswerNote& a = e.answer;
  double busy = std::min(e.seconds, a.ttft_seconds + a.decode_seconds);
  double start = a.finish.empty() ? 0 : e.seconds - busy;
  bool is_chat =
      span.route.find("chat") != std::string::npos || span.route.find("messages") != std::string::npos;
  std::string operation = is_chat ? "chat" : "text_completion";
  // The child's id is the parent's with every bit of its last half turned: distinct, and needs no random
  // bits.
  std::string id = e.trace.span_id;
  for (size_t i = 8; i < id.size(); ++i)
    id[i] = "fedcba9876543210"[id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10];
  Json out = {{"traceId", e.trace.trace_id},
              {"spanId", id},
              {"parentSpanId", e.trace.span_id},
              {"name", operation + " " + a.model},
              {"kind", kKindInternal},
              {"startTimeUnixNano", nanoseconds(e.begin, start)},
              {"endTimeUnixNano", nanoseconds(e.begin, e.seconds)}};
  out["attributes"] = Json::array(
      {attribute("gen_ai.operation.name", operation), attribute("gen_ai.request.model", a.model),
       attribute("gen_ai.response.model", a.model), attribute("gen_ai.usage.input_tokens", a.prompt_tokens),
       attribute("gen_ai.usage.prompt_tokens", a.prompt_tokens),
       attribute("gen_ai.usage.output_tokens", a.output_tokens),
       attribute("gen_ai.usage.completion_tokens", a.output_tokens),
       attribute("gen_ai.usage.cache_read.input_tokens", a.cached_tokens),
       attribute("gen_ai.request.n", int64_t{a.num_answers}),
       attribute("gen_ai.latency.time_in_queue", a.queue_seconds),
       attribute("gen_ai.latency.time_to_first_token", a.ttft_seconds),
       attribute("gen_ai.latency.e2e", a.ttft_seconds + a.decode_seconds)});
  Json reason = {{"stringValue", a.finish.empty() ? "abort" : a.finish}};
  out["attributes"].push_back({{"key", "gen_ai.response.finish_reasons"},
                               {"value", {{"arrayValue", {{"values", Json::array({std::move(reason)})}}}}}});
  if (a.output_tokens > 0 && !a.finish.empty())
    out["events"] = Json::array(
        {{{"timeUnixNano", nanoseconds(e.begin, start + a.ttft_seconds)}, {"name", "first token"}}});
  out["status"] = a.error.empty() ? Json::object() : Json{{"code", kStatusError}, {"message", a.error}};
  return out;
}

ServerUrl parse_endpoint(const std::string& endpoint) {
  try {
    ServerUrl url = parse_server_url(endpoint);
    if (url.prefix.empty()) url.prefix = "/v1/traces";
    return url;
  } catch (const Error& error) {
    fail(error.code(), "--otlp-traces-endpoint: {}", error.what());
  }
}

}  // namespace

std::string otlp_json(const std::vector<Span>& spans, const std::string& service_name) {
  Json list = Json::array();
  for (const Span& span : spans) {
    list.push_back(server_span(span));
    if (!span.entry.answer.model.empty()) list.push_back(model_span(span));
  }
  Json resource = {{"attributes", Json::array({attribute("service.name", service_name),
                                               attribute("service.version", std::string(TURGO_VERSION)),
                                               attribute("process.pid", int64_t{getpid()})})}};
  Json scope = {{"scope", {{"name", "turgo.serve"}, {"version", TURGO_VERSION}}}, {"spans", std::move(list)}};
  Json body = {{"resourceSpans", Json::array({{{"resource", std::move(resource)},
                                               {"scopeSpans", Json::array({std::move(scope)})}}})}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

TraceExporter::TraceExporter(const std::string& endpoint, std::string service_name)
    : server_(parse_endpoint(endpoint)),
      service_name_(std::move(service_name)),
      spans_(kMaxSpans, std::chrono::milliseconds(1000), [this](std::vector<Span> spans) { send(spans); }) {}

void TraceExporter::add(const HttpLogEntry& entry, const std::string& route) {
  if (entry.trace.is_sampled) spans_.push({entry, route});
}

void TraceExporter::send(const std::vector<Span>& spans) {
  std::string why;
  // The specification retries 429, 502, 503 and 504; two more tries in all, none when the server ends.
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (attempt > 0 && spans_.stops()) break;
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::milliseconds(200 << attempt));
    try {
      HttpAnswer answer = fetch(server_, {"POST", "", otlp_json(spans, service_name_), ""}, 5, 1 << 20);
      if (answer.status >= 200 && answer.status < 300) return;
      why = fmt::format("HTTP {}", answer.status);
      if (answer.status != 429 && (answer.status < 502 || answer.status > 504)) break;
    } catch (const Error& error) {
      why = error.what();
    }
  }
  spans_.count_dropped(spans.size());
  log_warning("{} spans are lost: {}", spans.size(), why);
}

}  // namespace turgo
