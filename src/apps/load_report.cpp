#include "apps/load_report.h"

#include <algorithm>

#include "apps/output.h"
#include "core/error.h"

namespace turgo {
namespace {

void add_times(Json& out, const char* name, std::vector<double> seconds) {
  for (double& value : seconds) value *= 1000;
  out[fmt::format("mean_{}_ms", name)] = mean(seconds);
  out[fmt::format("median_{}_ms", name)] = percentile(seconds, 50);
  out[fmt::format("std_{}_ms", name)] = deviation(seconds);
  for (int percent : {50, 90, 99})
    out[fmt::format("p{}_{}_ms", percent, name)] = percentile(seconds, percent);
}

bool is_good(const LoadResult& r, const Goodput& limit) {
  return (limit.ttft <= 0 || r.ttft() * 1000 <= limit.ttft) &&
         (limit.tpot <= 0 || r.tpot() * 1000 <= limit.tpot) &&
         (limit.e2el <= 0 || (r.end - r.start) * 1000 <= limit.e2el);
}

}  // namespace

Goodput parse_goodput(const std::vector<std::string>& limits) {
  Goodput out;
  for (const std::string& limit : limits) {
    size_t colon = limit.find(':');
    std::string name = limit.substr(0, colon),
                number = colon == std::string::npos ? "" : limit.substr(colon + 1);
    double* target = name == "ttft"   ? &out.ttft
                     : name == "tpot" ? &out.tpot
                     : name == "e2el" ? &out.e2el
                                      : nullptr;
    char* end = nullptr;
    double value = std::strtod(number.c_str(), &end);
    if (!target || number.empty() || *end || !(value > 0 && value < 1e9))
      fail(ErrorCode::kInvalidArgument, "--goodput: expected ttft:MS, tpot:MS or e2el:MS, got {}",
           quote(limit));
    *target = value;
  }
  return out;
}

Json load_json(const LoadReport& report, const Goodput& goodput) {
  std::vector<double> ttft, tpot, itl, e2el;
  int64_t input = 0, output = 0, num_good = 0;
  size_t completed = 0;
  for (const LoadResult& r : report.results) {
    if (!r.ok) continue;
    ++completed;
    input += r.input_tokens;
    output += r.output_tokens;
    ttft.push_back(r.ttft());
    e2el.push_back(r.end - r.start);
    if (r.output_tokens > 1) tpot.push_back(r.tpot());
    for (size_t i = 1; i < r.piece_times.size(); ++i) itl.push_back(r.piece_times[i] - r.piece_times[i - 1]);
    num_good += is_good(r, goodput);
  }
  double seconds = std::max(report.duration, 1e-9);
  Json out = {{"duration", report.duration},
              {"completed", completed},
              {"failed", report.results.size() - completed},
              {"total_input_tokens", input},
              {"total_output_tokens", output},
              {"request_throughput", static_cast<double>(completed) / seconds},
              {"request_goodput", goodput.is_set() ? Json(static_cast<double>(num_good) / seconds) : Json()},
              {"output_throughput", static_cast<double>(output) / seconds},
              {"total_token_throughput", static_cast<double>(input + output) / seconds},
              {"max_concurrent_requests", report.most_in_flight}};
  add_times(out, "ttft", ttft);
  add_times(out, "tpot", tpot);
  add_times(out, "itl", itl);
  add_times(out, "e2el", e2el);
  return out;
}

void print_load(const Json& f) {
  auto number = [&](const char* key) { return f[key].get<double>(); };
  std::string text = fmt::format(
      "{} requests in {:.2f} s, {} failed, at most {} at once\n"
      "{:.2f} requests/s, {:.1f} output tokens/s, {:.1f} tokens/s in all\n",
      f["completed"].get<size_t>(), number("duration"), f["failed"].get<size_t>(),
      f["max_concurrent_requests"].get<size_t>(), number("request_throughput"), number("output_throughput"),
      number("total_token_throughput"));
  if (!f["request_goodput"].is_null())
    text += fmt::format("{:.2f} requests/s within the limits\n", number("request_goodput"));
  text += fmt::format("{:<6} {:>9} {:>9} {:>9} {:>9}  ms\n", "", "mean", "p50", "p90", "p99");
  for (const char* name : {"ttft", "tpot", "itl", "e2el"})
    text += fmt::format(
        "{:<6} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f}\n", name, number(fmt::format("mean_{}_ms", name).c_str()),
        number(fmt::format("p50_{}_ms", name).c_str()), number(fmt::format("p90_{}_ms", name).c_str()),
        number(fmt::format("p99_{}_ms", name).c_str()));
  write_stdout(text);
}

}  // namespace turgo
