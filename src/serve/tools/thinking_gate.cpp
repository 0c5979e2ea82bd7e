#include "serve/tools/thinking_gate.h"

#include <algorithm>
#include <string_view>

namespace turgo {

static constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";

ThinkingGate::ThinkingGate(const Config& config, std::shared_ptr<TokenMask> grammar)
    : tokenizer_(config.tokenizer),
      grammar_(std::move(grammar)),
      began_thinking_(config.is_thinking),
      end_ids_(config.tokenizer.encode("\n</think>\n\n", true)),
      state_(config.is_thinking ? State::kThinking : State::kBefore),
      budget_(config.budget) {
  if (state_ == State::kThinking && budget_ == 0) state_ = State::kClosing;
}

void ThinkingGate::fill(std::vector<uint32_t>& allowed) {
  if (state_ == State::kClosing) {
    auto id = static_cast<uint32_t>(end_ids_[num_closed_]);
    allowed[id / 32] |= 1u << (id % 32);
  } else if (state_ == State::kAnswer && grammar_) {
    grammar_->fill(allowed);
  } else {
    std::fill(allowed.begin(), allowed.end(), ~0u);
    // A thought may not end the answer that a grammar is waiting to rule.
    const int32_t eos = tokenizer_.eos_id();
    if (state_ == State::kThinking && grammar_ && eos >= 0)
      allowed[static_cast<size_t>(eos) / 32] &= ~(1u << (eos % 32));
  }
}

void ThinkingGate::count() {
  ++num_thought_;
  if (tail_.find(kThinkEnd) != tail_.npos)
    state_ = State::kAnswer;
  else if (budget_ >= 0 && num_thought_ >= budget_)
    state_ = State::kClosing;
  if (tail_.size() > 64) tail_.erase(0, tail_.size() - kThinkEnd.size());
}

void ThinkingGate::accept(int32_t token_id) {
  switch (state_) {
    case State::kBefore: {  // an answer that does not begin with a thought has none
      tail_ += tokenizer_.piece(token_id, false);
      held_.push_back(token_id);
      std::string_view begun = tail_;
      begun.remove_prefix(std::min(begun.find_first_not_of(" \n"), begun.size()));
      if (begun.starts_with(kThink)) {
        state_ = budget_ == 0 ? State::kClosing : State::kThinking;
        tail_.clear();
      } else if (!kThink.starts_with(begun)) {
        state_ = State::kAnswer;
        for (int32_t id : held_)
          if (grammar_) grammar_->accept(id);
      }
      break;
    }
    case State::kThinking:
      tail_ += tokenizer_.piece(token_id, false);
      count();
      break;
    case State::kClosing:
      if (++num_closed_ == end_ids_.size()) state_ = State::kAnswer;
      break;
    case State::kAnswer:
      if (grammar_) grammar_->accept(token_id);
  }
}

bool ThinkingGate::is_finished() const {
  return state_ == State::kAnswer && grammar_ && grammar_->is_finished();
}

}  // namespace turgo
