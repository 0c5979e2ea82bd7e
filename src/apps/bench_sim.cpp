// `turgo bench sim`: a trace of arrivals against the engine, without HTTP: latencies, throughput, hit rate.
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "apps/command.h"
#include "apps/json_output.h"
#include "apps/trace_replay.h"
#include "core/error.h"
#include "pipeline/pipeline.h"

namespace turgo {
namespace {

struct BenchSim {
  std::string trace, model;
  int32_t max_in_flight = 0;
  uint64_t seed = 1;
  bool no_prefix_caching = false, per_request = false, json = false;
  PipelineConfig pipeline;
};

void fill(BenchSim& o, OptionList& list) {
  list.add("trace", &o.trace, "JSONL: arrival_s, prompt_tokens, output_tokens; session, priority, prefix")
      .positional();
  list.add("model", &o.model, "model folder or GGUF file; needs no tokenizer").positional();
  list.add("max_in_flight", &o.max_in_flight, "requests at once")
      .range(0, 1 << 20)
      .label("N")
      .shown_default("as they arrive");
  list.add("seed", &o.seed, "of the prompts' random tokens").label("N");
  list.add("no_prefix_caching", &o.no_prefix_caching, "compute every prompt whole");
  list.add("per_request", &o.per_request, "with --json: the times of each request too");
  list.add("json", &o.json, "print JSON");
  list_options(o.pipeline, list, false);
}

struct Quantiles {
  double p50 = 0, p90 = 0, p99 = 0, max = 0;
};

Quantiles quantiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  auto at = [&](double q) {  // nearest rank
    auto rank = static_cast<size_t>(q * static_cast<double>(values.size()) + 0.999999);
    return values[std::min(std::max<size_t>(rank, 1), values.size()) - 1];
  };
  return {at(0.5), at(0.9), at(0.99), values.back()};
}

Json to_json(const Quantiles& q) {
  return {{"p50", q.p50}, {"p90", q.p90}, {"p99", q.p99}, {"max", q.max}};
}

std::vector<double> gaps(const ReplayedRequest& r) {
  std::vector<double> out;
  for (size_t i = 1; i < r.token_s.size(); ++i) out.push_back(r.token_s[i] - r.token_s[i - 1]);
  return out;
}

struct Summary {
  int64_t num_ok = 0, num_failed = 0, prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  std::string first_error;
  Quantiles ttft, tpot, itl, queue;
  double seconds = 0;
  double hit_rate() const {
    return prompt_tokens > 0 ? static_cast<double>(cached_tokens) / static_cast<double>(prompt_tokens) : 0;
  }
};

Summary summarize(const Replay& replay) {
  Summary s;
  s.seconds = replay.seconds;
  std::vector<double> ttft, tpot, itl, queue;
  for (const ReplayedRequest& r : replay.requests) {
    if (r.finish == FinishReason::kError) {
      if (s.num_failed++ == 0) s.first_error = r.error;
      continue;
    }
    ++s.num_ok;
    s.prompt_tokens += r.stats.history_tokens + r.stats.input_tokens;
    s.cached_tokens += r.stats.cached_tokens;
    s.output_tokens += static_cast<int64_t>(r.token_s.size());
    queue.push_back(r.stats.queue_seconds);
    if (r.token_s.empty()) continue;
    ttft.push_back(r.token_s.front() - r.arrival_s);
    auto own = gaps(r);
    itl.insert(itl.end(), own.begin(), own.end());
    if (!own.empty())
      tpot.push_back((r.token_s.back() - r.token_s.front()) / static_cast<double>(own.size()));
  }
  s.ttft = quantiles(ttft);
  s.tpot = quantiles(tpot);
  s.itl = quantiles(itl);
  s.queue = quantiles(queue);
  return s;
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

Json requests_json(const Replay& replay) {
  Json all = Json::array();
  for (const ReplayedRequest& r : replay.requests) {
    Json one = {{"arrival_s", r.arrival_s},
                {"start_s", r.start_s},
                {"history_tokens", r.stats.history_tokens},
                {"input_tokens", r.stats.input_tokens},
                {"cached_tokens", r.stats.cached_tokens},
                {"token_s", r.token_s}};
    if (!r.error.empty()) one["error"] = r.error;
    all.push_back(std::move(one));
  }
  return all;
}

void print_text(const Summary& s) {
  auto line = [](const char* name, const Quantiles& q) {
    return fmt::format("{:<6} {:>9.1f} {:>9.1f} {:>9.1f} {:>9.1f}\n", name, 1e3 * q.p50, 1e3 * q.p90,
                       1e3 * q.p99, 1e3 * q.max);
  };
  std::string text = fmt::format("{} requests in {:.1f} s, {} failed{}\n", s.num_ok + s.num_failed, s.seconds,
                                 s.num_failed, s.num_failed ? ": " + s.first_error : "");
  text += "ms           p50       p90       p99       max\n";
  text += line("TTFT", s.ttft) + line("TPOT", s.tpot) + line("ITL", s.itl) + line("queue", s.queue);
  text += fmt::format("throughput {:.1f} answer tok/s, {:.1f} prompt tok/s; {:.1f} % of the prompts cached\n",
                      static_cast<double>(s.output_tokens) / s.seconds,
                      static_cast<double>(s.prompt_tokens) / s.seconds, 100 * s.hit_rate());
  write_stdout(text);
}

int run(const BenchSim& o) {
  auto trace = read_trace(o.trace);
  PipelineConfig config = o.pipeline;
  config.needs_tokenizer = false;
  config.enable_prefix_caching = !o.no_prefix_caching;
  auto pipeline = Pipeline::open(o.model, config);
  std::vector<int64_t> resident;  // at each tenth of the trace
  ReplayOptions options;
  options.max_in_flight = o.max_in_flight;
  options.seed = static_cast<uint32_t>(o.seed);
  options.on_end = [&](size_t ended) {
    if (ended * 10 / trace.size() > resident.size()) resident.push_back(resident_bytes());
  };
  Replay replay = replay_trace(pipeline->engine(), trace, options);
  Summary s = summarize(replay);
  EngineStats stats = pipeline->engine().stats();
  if (o.json) {
    double seconds = s.seconds;
    Json out = {{"num_requests", trace.size()},
                {"num_failed", s.num_failed},
                {"seconds", seconds},
                {"ttft_s", to_json(s.ttft)},
                {"tpot_s", to_json(s.tpot)},
                {"itl_s", to_json(s.itl)},
                {"queue_s", to_json(s.queue)},
                {"output_tok_s", static_cast<double>(s.output_tokens) / seconds},
                {"prompt_tok_s", static_cast<double>(s.prompt_tokens) / seconds},
                {"prefix_hit_rate", s.hit_rate()},
                {"num_steps", stats.num_steps},
                {"num_preemptions", stats.num_preemptions},
                {"model_seconds", stats.model_seconds},
                {"host_seconds", stats.host_seconds},
                {"resident_bytes", resident}};
    if (s.num_failed > 0) out["first_error"] = s.first_error;
    if (o.per_request) out["requests"] = requests_json(replay);
    write_json(out);
  } else {
    print_text(s);
  }
  return 0;
}

}  // namespace

Command bench_sim_command() {
  return make_command("bench sim", "Replay a trace of requests into the engine", fill, run,
                      "A trace has one JSON object per line: {\"arrival_s\": 0.5, \"prompt_tokens\": 120, "
                      "\"output_tokens\": 40}\nand as wanted session, priority, prefix with prefix_tokens.");
}

}  // namespace turgo
