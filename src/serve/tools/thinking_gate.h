// Stands between a model and the grammar of its answer: while the model thinks, any token may come; a budget
// ends the thought by letting only </think> come; behind it the grammar rules. Without it a grammar would
// forbid the thought, or take it for the answer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/request.h"
#include "text/tokenizer.h"

namespace turgo {

class ThinkingGate : public TokenMask {
 public:
  struct Config {
    const Tokenizer& tokenizer;  // outlives the request
    int32_t budget = -1;         // tokens of the thought, its end beside them; -1: any number
    bool is_thinking = false;    // the prompt has opened the thought
  };
  // `grammar`: of what follows the thought, nullptr = free text. Where the thought is not open yet, it must
  // allow any text to begin with.
  ThinkingGate(const Config& config, std::shared_ptr<TokenMask> grammar);

  void fill(std::vector<uint32_t>& allowed) override;
  void accept(int32_t token_id) override;
  bool is_finished() const override;

  // What it was made of, for an engine that makes its own.
  int32_t budget() const { return budget_; }
  bool began_thinking() const { return began_thinking_; }
  const TokenMask* grammar() const { return grammar_.get(); }

 private:
  enum class State : uint8_t { kBefore, kThinking, kClosing, kAnswer };
  void count();

  const Tokenizer& tokenizer_;
  std::shared_ptr<TokenMask> grammar_;
  bool began_thinking_;
  std::vector<int32_t> end_ids_;  // of what a budget writes
  State state_;
  int32_t budget_, num_thought_ = 0;
  size_t num_closed_ = 0;
  std::string tail_;           // the text's last bytes, as many as a marker has
  std::vector<int32_t> held_;  // of kBefore: the grammar gets them if they are no thought
};

}  // namespace turgo
