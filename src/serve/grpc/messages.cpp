#include "serve/grpc/messages.h"

#include "pipeline/answer_text.h"
#include "serve/tools/thinking_gate.h"

namespace turgo {
namespace {

class NamedMask : public TokenMask {
 public:
  explicit NamedMask(std::shared_ptr<const NamedGrammar> grammar) : grammar_(std::move(grammar)) {}
  void fill(std::vector<uint32_t>&) override { CHECK(false, "a mask that another process fills"); }
  void accept(int32_t) override { CHECK(false, "a mask that another process fills"); }
  const GrammarSpec& spec() const { return grammar_->spec(); }

 private:
  std::shared_ptr<const NamedGrammar> grammar_;
};

grpc::StatusCode status_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case ErrorCode::kCorrupt:
      return grpc::StatusCode::DATA_LOSS;
    case ErrorCode::kUnsupported:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case ErrorCode::kTooLong:
      return grpc::StatusCode::OUT_OF_RANGE;
    case ErrorCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case ErrorCode::kCancelled:
      return grpc::StatusCode::CANCELLED;
    case ErrorCode::kIo:
      break;
  }
  return grpc::StatusCode::INTERNAL;
}

std::optional<ErrorCode> error_code(grpc::StatusCode code) {
  for (ErrorCode one :
       {ErrorCode::kInvalidArgument, ErrorCode::kNotFound, ErrorCode::kCorrupt, ErrorCode::kUnsupported,
        ErrorCode::kTooLong, ErrorCode::kResourceExhausted, ErrorCode::kCancelled, ErrorCode::kIo})
    if (status_code(one) == code) return one;
  return std::nullopt;
}

void fill_mask(pb::GenerateRequest& out, const TokenMask* mask) {
  if (!mask) return;
  if (const auto* gate = dynamic_cast<const ThinkingGate*>(mask)) {
    out.mutable_thinking()->set_budget(gate->budget());
    out.mutable_thinking()->set_is_thinking(gate->began_thinking());
    return fill_mask(out, gate->grammar());
  }
  const auto* named = dynamic_cast<const NamedMask*>(mask);
  if (!named) fail(ErrorCode::kUnsupported, "this mask can not be sent to an engine in another process");
  fill(*out.mutable_grammar(), named->spec());
}

FinishReason from_finish(pb::FinishReason reason) {
  switch (reason) {
    case pb::STOP:
      return FinishReason::kStop;
    case pb::LENGTH:
      return FinishReason::kLength;
    case pb::CANCELLED:
      return FinishReason::kCancelled;
    case pb::ERROR:
      return FinishReason::kError;
    case pb::TIMEOUT:
      return FinishReason::kTimeout;
    default:
      return FinishReason::kNone;
  }
}

}  // namespace

grpc::Status to_status(const Error& error) {
  return {status_code(error.code()), error.what()};
}

void throw_status(const grpc::Status& status, const std::string& where) {
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED)
    throw EngineAway(fmt::format("the engine at {} does not take the server's --engine-key", where));
  if (auto code = error_code(status.error_code())) throw Error(*code, status.error_message());
  throw EngineAway(
      fmt::format("the engine at {} can not be reached: {}", where, quote(status.error_message(), 200)));
}

GenerationConfig to_config(const pb::GenerateRequest& r) {
  GenerationConfig out;
  const pb::Sampling& s = r.sampling();
  if (s.has_temperature()) out.temperature = s.temperature();
  if (s.has_top_k()) out.top_k = s.top_k();
  if (s.has_top_p()) out.top_p = s.top_p();
  if (s.has_min_p()) out.min_p = s.min_p();
  if (s.has_repetition_penalty()) out.repetition_penalty = s.repetition_penalty();
  if (s.has_presence_penalty()) out.presence_penalty = s.presence_penalty();
  if (s.has_frequency_penalty()) out.frequency_penalty = s.frequency_penalty();
  if (s.has_seed()) out.seed = s.seed();
  if (s.has_logprobs()) out.logprobs = s.logprobs();
  for (const pb::LogitBias& bias : s.logit_bias()) out.logit_bias.emplace_back(bias.token_id(), bias.bias());
  if (r.has_max_new_tokens()) out.max_new_tokens = r.max_new_tokens();
  if (r.has_min_new_tokens()) out.min_new_tokens = r.min_new_tokens();
  out.stop.assign(r.stop().begin(), r.stop().end());
  out.include_stop = r.include_stop();
  out.stop_token_ids.assign(r.stop_token_ids().begin(), r.stop_token_ids().end());
  out.ignore_eos = r.ignore_eos();
  if (r.has_skip_special_tokens()) out.skip_special_tokens = r.skip_special_tokens();
  out.priority = r.priority();
  out.max_seconds = r.max_seconds();
  return out;
}

void fill(pb::GenerateRequest& out, const Request& r) {
  if (!r.embeddings.empty())
    fail(ErrorCode::kUnsupported, "embeddings can not be sent to an engine in another process yet");
  out.mutable_token_ids()->mutable_ids()->Assign(r.input_ids.begin(), r.input_ids.end());
  const SamplingParams& p = r.sampling;
  pb::Sampling& s = *out.mutable_sampling();
  s.set_temperature(p.temperature);
  s.set_top_k(p.top_k);
  s.set_top_p(p.top_p);
  s.set_min_p(p.min_p);
  s.set_repetition_penalty(p.repetition_penalty);
  s.set_presence_penalty(p.presence_penalty);
  s.set_frequency_penalty(p.frequency_penalty);
  s.set_seed(p.seed);
  s.set_logprobs(p.num_logprobs);
  for (const auto& [id, bias] : p.logit_bias) {
    pb::LogitBias& one = *s.add_logit_bias();
    one.set_token_id(id);
    one.set_bias(bias);
  }
  out.set_max_new_tokens(r.max_new_tokens);
  out.set_min_new_tokens(p.min_new_tokens);
  out.mutable_stop_token_ids()->Assign(r.stop_token_ids.begin(), r.stop_token_ids.end());
  out.set_ignore_eos(r.ignore_eos);
  if (r.observer) {
    const auto* text = dynamic_cast<const AnswerText*>(r.observer.get());
    if (!text) fail(ErrorCode::kUnsupported, "this observer can not be sent to an engine in another process");
    const AnswerRules& rules = text->rules();
    for (const std::string& stop : rules.stop) out.add_stop(stop);
    out.set_include_stop(rules.include_stop);
    out.set_skip_special_tokens(rules.skip_special_tokens);
    out.set_at_start(rules.at_start);
  }
  fill_mask(out, r.mask.get());
  out.set_session_id(r.session_id);
  out.set_step(r.step);
  out.set_owner(r.owner);
  out.set_priority(r.priority);
  out.set_max_seconds(r.max_seconds);
}

void fill(pb::Grammar& out, const GrammarSpec& spec) {
  static constexpr pb::Grammar::Kind kKinds[] = {pb::Grammar::JSON_SCHEMA, pb::Grammar::LOOSE_JSON_SCHEMA,
                                                 pb::Grammar::REGEX, pb::Grammar::EBNF,
                                                 pb::Grammar::STRUCTURAL_TAG};
  out.set_kind(kKinds[static_cast<size_t>(spec.kind)]);
  out.set_text(spec.text);
}

GrammarSpec to_spec(const pb::Grammar& grammar) {
  switch (grammar.kind()) {
    case pb::Grammar::JSON_SCHEMA:
      return {GrammarSpec::Kind::kJsonSchema, grammar.text()};
    case pb::Grammar::LOOSE_JSON_SCHEMA:
      return {GrammarSpec::Kind::kLooseJsonSchema, grammar.text()};
    case pb::Grammar::REGEX:
      return {GrammarSpec::Kind::kRegex, grammar.text()};
    case pb::Grammar::EBNF:
      return {GrammarSpec::Kind::kEbnf, grammar.text()};
    case pb::Grammar::STRUCTURAL_TAG:
      return {GrammarSpec::Kind::kStructuralTag, grammar.text()};
    default:
      fail(ErrorCode::kInvalidArgument, "grammar: expected a kind from 1 to 5, got {}",
           static_cast<int>(grammar.kind()));
  }
}

void fill(pb::Token& out, const OutputToken& token) {
  out.set_id(token.token_id);
  out.set_logprob(token.logprob);
  for (const TokenLogprob& one : token.top_logprobs) {
    pb::TokenLogprob& top = *out.add_top_logprobs();
    top.set_token_id(one.token_id);
    top.set_logprob(one.logprob);
  }
}

void fill(pb::RequestStats& out, const RequestStats& stats) {
  out.set_input_tokens(stats.input_tokens);
  out.set_cached_tokens(stats.cached_tokens);
  out.set_history_tokens(stats.history_tokens);
  out.set_queue_seconds(stats.queue_seconds);
  out.set_prefill_seconds(stats.prefill_seconds);
  out.set_ttft_seconds(stats.ttft_seconds);
  out.set_decode_seconds(stats.decode_seconds);
}

pb::FinishReason to_finish(FinishReason reason) {
  for (pb::FinishReason one : {pb::STOP, pb::LENGTH, pb::CANCELLED, pb::ERROR, pb::TIMEOUT})
    if (from_finish(one) == reason) return one;
  return pb::NONE;
}

void fill(pb::GenerateEvent& out, const TextEvent& event) {
  for (const OutputToken& token : event.tokens) fill(*out.add_tokens(), token);
  out.set_text(event.text);
  if (event.finish == FinishReason::kNone) return;
  out.set_finish(to_finish(event.finish));
  out.set_error(event.error);
  fill(*out.mutable_stats(), event.stats);
}

StreamEvent to_event(const pb::GenerateEvent& event) {
  StreamEvent out;
  out.tokens.reserve(static_cast<size_t>(event.tokens_size()));
  for (const pb::Token& token : event.tokens()) {
    OutputToken one{token.id(), token.logprob(), {}};
    for (const pb::TokenLogprob& top : token.top_logprobs())
      one.top_logprobs.push_back({top.token_id(), top.logprob()});
    out.tokens.push_back(std::move(one));
  }
  out.finish = from_finish(event.finish());
  out.error = event.error();
  const pb::RequestStats& s = event.stats();
  out.stats = {s.input_tokens(),    s.cached_tokens(), s.history_tokens(), s.queue_seconds(),
               s.prefill_seconds(), s.ttft_seconds(),  s.decode_seconds()};
  return out;
}

void fill(pb::Stats& out, const EngineStats& stats) {
  out.set_num_running(stats.num_running);
  out.set_num_waiting(stats.num_waiting);
  out.set_num_blocks(stats.num_blocks);
  out.set_num_active_blocks(stats.num_active_blocks);
  out.set_num_cached_blocks(stats.num_cached_blocks);
  out.set_num_preemptions(stats.num_preemptions);
  out.set_num_steps(stats.num_steps);
  out.set_model_seconds(stats.model_seconds);
  out.set_host_seconds(stats.host_seconds);
}

EngineStats to_stats(const pb::Stats& stats) {
  EngineStats out;
  out.num_running = stats.num_running();
  out.num_waiting = stats.num_waiting();
  out.num_blocks = stats.num_blocks();
  out.num_active_blocks = stats.num_active_blocks();
  out.num_cached_blocks = stats.num_cached_blocks();
  out.num_preemptions = stats.num_preemptions();
  out.num_steps = stats.num_steps();
  out.model_seconds = stats.model_seconds();
  out.host_seconds = stats.host_seconds();
  return out;
}

std::shared_ptr<TokenMask> NamedGrammar::start() const {
  return std::make_shared<NamedMask>(shared_from_this());
}

}  // namespace turgo
