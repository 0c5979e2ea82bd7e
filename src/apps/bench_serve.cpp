// `turgo bench serve`: a load test of any OpenAI-compatible server, with the flags and figures of `vllm bench
// serve`. `turgo bench throughput`: the same requests into the engine of this process, without HTTP.
#include <chrono>
#include <condition_variable>
#include <ctime>
#include <fstream>
#include <mutex>
#include <optional>

#include "apps/command.h"
#include "apps/load_report.h"
#include "apps/output.h"
#include "apps/trace.h"
#include "core/error.h"
#include "core/mapped_file.h"
#include "pipeline/pipeline.h"

namespace turgo {
namespace {

struct LoadOptions {
  int32_t num_prompts = 100, random_input_len = 128, random_output_len = 64, max_concurrency = 0;
  double request_rate = 0, burstiness = 1, timeout = 600;
  uint64_t seed = 1;
  std::string dataset_path, trace, save_result;
  std::vector<std::string> goodput;
  bool json = false, save_detailed = false, respect_eos = false;
};

void list_load(LoadOptions& o, OptionList& list) {
  list.add("num_prompts", &o.num_prompts, "requests").range(1, 1 << 20).label("N");
  list.add("max_concurrency", &o.max_concurrency, "closed loop: requests at once")
      .range(0, 1 << 16)
      .label("N")
      .shown_default("as they arrive");
  list.add("request_rate", &o.request_rate, "open loop: requests per second; 0: all at once")
      .range(0, 1e6)
      .label("R");
  list.add("burstiness", &o.burstiness, "1: Poisson; less: burstier").range(0.01, 1000).label("B");
  list.add("random_input_len", &o.random_input_len, "tokens of a made-up prompt, about")
      .range(1, 1 << 20)
      .label("N");
  list.add("random_output_len", &o.random_output_len, "tokens of an answer").range(1, 1 << 20).label("N");
  list.add("dataset_path", &o.dataset_path,
           "prompts from this file instead: a line each, or JSONL with \"prompt\"")
      .label("FILE");
  list.add("trace", &o.trace, "arrivals and lengths from this file: JSONL as of `bench sim`").label("FILE");
  list.add("seed", &o.seed, "of arrivals and prompts").label("N");
  list.add("respect_eos", &o.respect_eos, "answers may end before their length");
  list.add("goodput", &o.goodput,
           "ttft:MS, tpot:MS, e2el:MS: count the answers within; may be given several times")
      .label("LIMIT");
  list.add("timeout", &o.timeout, "seconds of the whole test").range(1, 1e6).label("S");
  list.add("json", &o.json, "print JSON with the keys of `vllm bench serve`");
  list.add("save_result", &o.save_result, "write that JSON to this file").label("FILE");
  list.add("save_detailed", &o.save_detailed, "the JSON also has the times of each request");
}

std::vector<std::string> read_prompts(const std::string& path) {
  auto file = MappedFile::open(path);
  std::span<const std::byte> bytes = file->bytes();
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::vector<std::string> out;
  while (!text.empty()) {
    size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    Json json = line.front() == '{' ? Json::parse(line, nullptr, false) : Json();
    bool has = json.is_object() && json.contains("prompt") && json["prompt"].is_string();
    out.push_back(has ? json["prompt"].get<std::string>() : std::string(line));
  }
  if (out.empty()) fail(ErrorCode::kInvalidArgument, "{}: expected prompts, found none", quote(path, 200));
  return out;
}

std::vector<LoadRequest> make_plan(const LoadOptions& o) {
  std::vector<LoadRequest> plan;
  if (!o.trace.empty()) {
    for (const TraceRequest& r : read_trace(o.trace))
      plan.push_back(
          {r.arrival_s, random_prompt(r.prompt_tokens, o.seed * 1000003 + plan.size()), r.output_tokens});
    return plan;
  }
  std::vector<std::string> prompts =
      o.dataset_path.empty() ? std::vector<std::string>{} : read_prompts(o.dataset_path);
  std::vector<double> times =
      arrival_times(static_cast<size_t>(o.num_prompts), o.request_rate, o.burstiness, o.seed);
  for (size_t i = 0; i < times.size(); ++i)
    plan.push_back({times[i],
                    prompts.empty() ? random_prompt(o.random_input_len, o.seed * 1000003 + i)
                                    : prompts[i % prompts.size()],
                    o.random_output_len});
  return plan;
}

void report(const LoadOptions& o, const std::vector<LoadRequest>& plan, const LoadReport& load, Json head) {
  std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof date, "%Y%m%d-%H%M%S", std::gmtime(&now));
  Json out = {{"date", date}};
  out.update(head);
  out["num_prompts"] = plan.size();
  out["request_rate"] = o.request_rate > 0 ? Json(o.request_rate) : Json("inf");
  out["burstiness"] = o.burstiness;
  out["max_concurrency"] = o.max_concurrency > 0 ? Json(o.max_concurrency) : Json();
  out.update(load_json(load, parse_goodput(o.goodput)));
  if (o.save_detailed) {
    for (const char* key : {"input_lens", "output_lens", "ttfts", "itls", "generated_texts", "errors"})
      out[key] = Json::array();
    for (const LoadResult& r : load.results) {
      Json gaps = Json::array();
      for (size_t i = 1; i < r.piece_times.size(); ++i)
        gaps.push_back(r.piece_times[i] - r.piece_times[i - 1]);
      out["input_lens"].push_back(r.input_tokens);
      out["output_lens"].push_back(r.output_tokens);
      out["ttfts"].push_back(r.ttft());
      out["itls"].push_back(std::move(gaps));
      out["generated_texts"].push_back(r.text);
      out["errors"].push_back(r.error);
    }
  }
  std::string text = out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  if (!o.save_result.empty() && !(std::ofstream(o.save_result) << text).flush())
    fail(ErrorCode::kIo, "--save-result {}: it can not be written", quote(o.save_result, 200));
  o.json ? write_stdout(text) : print_load(out);
  for (const LoadResult& r : load.results)
    if (!r.ok) {
      std::fprintf(stderr, "turgo: a request failed: %s\n", r.error.c_str());
      break;
    }
}

struct BenchServe {
  std::string url = "http://127.0.0.1:23333", model, api_key, backend = "openai";
  LoadOptions load;
};

void fill_serve(BenchServe& o, OptionList& list) {
  list.add("base_url", &o.url, "address of the server").positional(false);
  list.add("model", &o.model, "which of its models").label("NAME").shown_default("its first");
  list.add("api_key", &o.api_key, "the key that the server asks for").label("KEY");
  list.add("backend", &o.backend, "openai: /v1/completions; openai-chat: /v1/chat/completions")
      .choices({"openai", "openai-chat"});
  list_load(o.load, list);
}

int run_serve(const BenchServe& o) {
  LoadConfig config;
  config.server = parse_server_url(o.url);
  config.api_key = o.api_key;
  config.path = o.backend == "openai" ? "/v1/completions" : "/v1/chat/completions";
  config.max_in_flight = static_cast<size_t>(o.load.max_concurrency);
  config.timeout = o.load.timeout;
  config.extra = {{"temperature", 0}};
  if (!o.load.respect_eos) config.extra["ignore_eos"] = true;
  parse_goodput(o.load.goodput);
  config.model = o.model;
  if (config.model.empty()) {
    HttpAnswer got = fetch(config.server, {"GET", "/v1/models", "", o.api_key});
    Json json = Json::parse(got.body, nullptr, false);
    if (got.status != 200 || !json.is_object() || !json.contains("data") || !json["data"].is_array() ||
        json["data"].empty() || !json["data"][0].value("id", Json()).is_string())
      fail(ErrorCode::kIo, "{}: /v1/models names no model (HTTP {}); --model NAME does", o.url, got.status);
    config.model = json["data"][0]["id"].get<std::string>();
  }
  std::vector<LoadRequest> plan = make_plan(o.load);
  LoadReport load = run_load(config, plan);
  report(o.load, plan, load, {{"backend", o.backend}, {"base_url", o.url}, {"model_id", config.model}});
  bool all_failed =
      std::none_of(load.results.begin(), load.results.end(), [](const LoadResult& r) { return r.ok; });
  return all_failed ? 2 : 0;
}

struct BenchThroughput {
  std::string model;
  LoadOptions load;
  PipelineConfig pipeline;
};

void fill_throughput(BenchThroughput& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list_load(o.load, list);
  list_options(o.pipeline, list, false);
}

struct Wake {
  std::mutex mutex;
  std::condition_variable changed;
  bool woken = false;
};

struct Running {
  size_t index;
  TextStream stream;
};

// One consumer for all streams: it sleeps until one of them has something.
LoadReport run_in_process(Pipeline& pipeline, const LoadOptions& o, const std::vector<LoadRequest>& plan) {
  using Clock = std::chrono::steady_clock;
  LoadReport out;
  out.results.resize(plan.size());
  auto wake = std::make_shared<Wake>();  // outlives this call with a listener that is just being called
  std::vector<Running> running;
  auto begin = Clock::now();
  auto now = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  size_t next = 0, limit = o.max_concurrency > 0 ? static_cast<size_t>(o.max_concurrency) : plan.size();
  while (next < plan.size() || !running.empty()) {
    for (; next < plan.size() && running.size() < limit && plan[next].arrival_s <= now(); ++next) {
      GenerationConfig config;
      config.temperature = 0;
      config.ignore_eos = !o.respect_eos;
      config.max_new_tokens = plan[next].max_tokens;
      out.results[next].start = now();
      running.push_back({next, pipeline.generate({Segment::from_text(plan[next].prompt)}, config)});
      out.results[next].input_tokens = running.back().stream.num_input_tokens();
      running.back().stream.set_listener([wake] {
        std::lock_guard lock(wake->mutex);
        wake->woken = true;
        wake->changed.notify_one();
      });
      out.most_in_flight = std::max(out.most_in_flight, running.size());
    }
    for (size_t i = 0; i < running.size();) {
      LoadResult& result = out.results[running[i].index];
      FinishReason finish = FinishReason::kNone;
      while (finish == FinishReason::kNone) {
        auto event = running[i].stream.next(std::chrono::milliseconds(0));
        if (!event) break;
        result.output_tokens += static_cast<int64_t>(event->tokens.size());
        if (!event->text.empty()) result.piece_times.push_back(now());
        finish = event->finish;
      }
      if (finish == FinishReason::kNone) {
        ++i;
        continue;
      }
      result.end = now();
      result.ok = finish != FinishReason::kError && !result.piece_times.empty();
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
    std::unique_lock lock(wake->mutex);
    double wait = next < plan.size() && running.size() < limit ? plan[next].arrival_s - now() : 1;
    if (!running.empty() || wait > 0)
      wake->changed.wait_for(lock, std::chrono::duration<double>(std::clamp(wait, 0.0, 1.0)),
                             [&] { return wake->woken; });
    wake->woken = false;
  }
  for (const LoadResult& result : out.results) out.duration = std::max(out.duration, result.end);
  return out;
}

int run_throughput(const BenchThroughput& o) {
  std::vector<LoadRequest> plan = make_plan(o.load);
  parse_goodput(o.load.goodput);
  auto pipeline = Pipeline::open(o.model, o.pipeline);
  LoadReport load = run_in_process(*pipeline, o.load, plan);
  report(o.load, plan, load, {{"backend", "turgo"}, {"model_id", o.model}});
  return 0;
}

}  // namespace

Command bench_serve_command() {
  return make_command("bench serve", "Load-test a server: throughput, TTFT, TPOT, ITL, goodput", fill_serve,
                      run_serve);
}

Command bench_throughput_command() {
  return make_command("bench throughput", "The same load into the engine of this process", fill_throughput,
                      run_throughput);
}

}  // namespace turgo
