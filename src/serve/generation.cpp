#include "serve/generation.h"

#include <algorithm>
#include <random>

namespace turgo {
namespace {

ApiError failure_of(const TextEvent& event) {
  if (event.finish == FinishReason::kTimeout)
    return {504, "the answer took longer than the server's --timeout", "", "timeout"};
  if (event.is_away) return {503, event.error, "", "engine_away"};
  if (event.finish == FinishReason::kCancelled) return {503, "the request was cancelled", "", "cancelled"};
  return {500, event.error.empty() ? "the model failed on this request" : event.error, "", "engine_error"};
}

class AnswersResponder : public Responder {
 public:
  AnswersResponder(std::vector<Choice> choices, std::unique_ptr<AnswerFormat> format, bool streams,
                   Metrics& metrics)
      : choices_(std::move(choices)), format_(std::move(format)), streams_(streams), metrics_(metrics) {
    metrics_.count_begin(choices_.size());
    note_.model = metrics_.model_name();
    note_.num_answers = static_cast<int32_t>(choices_.size());
    size_t num_prompts = 0;
    for (const Choice& choice : choices_) num_prompts = std::max(num_prompts, choice.prompt + 1);
    for (size_t p = 0; p < num_prompts; ++p)  // the answers to one prompt share it
      for (const Choice& choice : choices_)
        if (choice.prompt == p) {
          note_.prompt_tokens += choice.stream.num_input_tokens();
          break;
        }
  }

  ~AnswersResponder() override {
    for (Choice& choice : choices_) {
      if (choice.finish == FinishReason::kNone) metrics_.count_end("abort");
      if (choice.on_close) choice.on_close(choice.tokens.size());
    }
    format_->closed(choices_);
  }

  void start(std::function<void()> wake) override {
    for (Choice& choice : choices_) choice.stream.set_listener(wake);
  }

  bool advance(HttpWriter& out) override {
    if (streams_ && !began_) {
      out.begin({200, format_->content_type(), {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
      out.write(format_->begin(choices_));
      began_ = true;
    }
    bool all_ended = true;
    for (size_t i = 0; i < choices_.size(); ++i) {
      while (choices_[i].finish == FinishReason::kNone) {
        auto event = choices_[i].stream.next(std::chrono::milliseconds(0));
        if (!event) break;
        if (!take(i, *event, out)) {
          out.note(note_);
          return true;
        }
      }
      all_ended = all_ended && choices_[i].finish != FinishReason::kNone;
    }
    out.note(note_);
    if (!all_ended) return false;
    if (streams_)
      out.write(format_->end(choices_));
    else
      out.respond({{200, "application/json", {}}, format_->whole(choices_)});
    return true;
  }

  bool interrupt(HttpWriter& out, int status, const std::string& reason) override {
    ApiError error(status, reason, "", "interrupted");
    note_.error = error.code;
    out.note(note_);
    if (streams_ && began_)
      out.write(format_->failure(error));
    else
      out.respond(error_response(error));
    return true;
  }

 private:
  // False: the request ends here, with an error that was written.
  bool take(size_t index, TextEvent& event, HttpWriter& out) {
    Choice& choice = choices_[index];
    choice.finish = event.finish;
    choice.stats = event.stats;
    choice.text += event.text;
    count_tokens(choice, event);
    bool failed = event.finish == FinishReason::kError || event.finish == FinishReason::kTimeout ||
                  (event.finish == FinishReason::kCancelled && !format_->ends_quietly());
    if (failed) {
      ApiError error = failure_of(event);
      note_.error = error.code;
      metrics_.count_end(finish_reason_name(event.finish));
      if (streams_)
        out.write(format_->failure(error));
      else
        out.respond(error_response(error));
      return false;
    }
    if (streams_) out.write(format_->piece(choices_, index, event));
    for (OutputToken& token : event.tokens) choice.tokens.push_back(std::move(token));
    if (event.finish != FinishReason::kNone)
      metrics_.count_answer(choice.stats, choice.stream.num_input_tokens(), choice.tokens.size(),
                            finish_reason_name(event.finish));
    return true;
  }

  void count_tokens(Choice& choice, const TextEvent& event) {
    auto now = Metrics::Clock::now();
    if (!event.tokens.empty()) {
      double gap = std::chrono::duration<double>(now - choice.last_tokens).count();
      metrics_.count_tokens(event.tokens.size(), choice.tokens.empty() ? -1 : gap);
      choice.last_tokens = now;
      note_.output_tokens += static_cast<int64_t>(event.tokens.size());
    }
    if (event.finish == FinishReason::kNone) return;
    note_.finish = finish_reason_name(event.finish);
    note_.cached_tokens += event.stats.cached_tokens;
    note_.queue_seconds = std::max(note_.queue_seconds, event.stats.queue_seconds);
    note_.ttft_seconds = std::max(note_.ttft_seconds, event.stats.ttft_seconds);
    note_.decode_seconds = std::max(note_.decode_seconds, event.stats.decode_seconds);
  }

  std::vector<Choice> choices_;
  std::unique_ptr<AnswerFormat> format_;
  bool streams_, began_ = false;
  Metrics& metrics_;
  AnswerNote note_;
};

}  // namespace

std::unique_ptr<Responder> respond_with_answers(std::vector<Choice> choices,
                                                std::unique_ptr<AnswerFormat> format, bool streams,
                                                Metrics& metrics) {
  return std::make_unique<AnswersResponder>(std::move(choices), std::move(format), streams, metrics);
}

static void take_logit_bias(Fields& fields, GenerationConfig& config, int32_t vocab_size) {
  const Json* bias = fields.take("logit_bias", [] {
    return Json{{"type", "object"},
                {"propertyNames", {{"pattern", "^[0-9]{1,8}$"}}},
                {"additionalProperties", {{"type", "number"}, {"minimum", -100}, {"maximum", 100}}}};
  });
  if (!bias) return;
  if (!bias->is_object())
    bad_field("logit_bias", "expected an object of token ids and numbers, got {}", shown(*bias));
  for (const auto& [key, value] : bias->items()) {
    bool is_id = !key.empty() && key.size() < 9 && key.find_first_not_of("0123456789") == std::string::npos;
    int32_t id = is_id ? std::stoi(key) : -1;
    if (id < 0 || id >= vocab_size)
      bad_field("logit_bias", "expected token ids from 0 to {}, got {}", vocab_size - 1, quote(key));
    double number = value.is_number() ? value.get<double>() : 1000;
    if (!(number >= -100 && number <= 100))
      bad_field("logit_bias", "expected numbers from -100 to 100, got {}", shown(value));
    config.logit_bias.emplace_back(id, static_cast<float>(number));
  }
}

void take_sampling(Fields& fields, GenerationConfig& config, int32_t vocab_size) {
  fields.number("temperature", config.temperature, 0, 2);
  fields.number("top_p", config.top_p, 1e-9, 1);
  fields.integer("top_k", config.top_k, -1, INT32_MAX);
  fields.number("min_p", config.min_p, 0, 1);
  fields.number("repetition_penalty", config.repetition_penalty, 0.01, 100);
  fields.number("presence_penalty", config.presence_penalty, -2, 2);
  fields.number("frequency_penalty", config.frequency_penalty, -2, 2);
  auto seed_schema = [] {
    return Json{{"type", "integer"}, {"minimum", INT64_MIN}, {"maximum", UINT64_MAX}};
  };
  if (const Json* seed = fields.take("seed", seed_schema)) {
    if (!seed->is_number_integer())
      bad_field("seed", "expected a whole number of 64 bits, got {}", shown(*seed));
    config.seed =
        seed->is_number_unsigned() ? seed->get<uint64_t>() : static_cast<uint64_t>(seed->get<int64_t>());
  }
  fields.texts("stop", config.stop);
  if (config.stop.size() > 64) bad_field("stop", "expected at most 64 strings, got {}", config.stop.size());
  for (const std::string& stop : config.stop)
    if (stop.empty() || stop.size() > 4096)
      bad_field("stop", "expected strings of 1 to 4096 bytes, got one of {}", stop.size());
  fields.ids("stop_token_ids", config.stop_token_ids);
  fields.flag("ignore_eos", config.ignore_eos);
  fields.flag("skip_special_tokens", config.skip_special_tokens);
  fields.flag("include_stop_str_in_output", config.include_stop);
  fields.integer("min_tokens", config.min_new_tokens, 0, INT32_MAX);
  fields.integer("priority", config.priority, -1000, 1000);
  take_logit_bias(fields, config, vocab_size);
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string random_id(const std::string& prefix) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{}{:016x}{:08x}", prefix, random(), random() & 0xffffffff);
}

const char* openai_finish(FinishReason reason) {
  return reason == FinishReason::kLength ? "length" : "stop";
}

}  // namespace turgo
