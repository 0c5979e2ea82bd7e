// The gate over a vocabulary of single bytes: </think> comes in pieces, as with tokenizers that have no token
// for it.
#include "serve/tools/thinking_gate.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

class Bytes : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, bool) const override {
    return {text.begin(), text.end()};
  }
  std::vector<int32_t> encode(const MarkedText&) const override { return {}; }
  std::string decode(std::span<const int32_t> ids, bool) const override { return {ids.begin(), ids.end()}; }
  std::string piece(int32_t id, bool) const override { return std::string(1, static_cast<char>(id)); }
  int32_t vocab_size() const override { return 128; }
  int32_t token_to_id(std::string_view) const override { return -1; }
  std::string id_to_token(int32_t id) const override { return piece(id, false); }
  bool is_special(int32_t) const override { return false; }
  size_t max_stripped_spaces() const override { return 0; }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return -1; }
  bool add_bos() const override { return false; }
  bool add_eos() const override { return false; }
};

// Allows 'x' alone, and keeps what it was told.
class OnlyX : public TokenMask {
 public:
  void fill(std::vector<uint32_t>& allowed) override { allowed['x' / 32] |= 1u << ('x' % 32); }
  void accept(int32_t id) override { text += static_cast<char>(id); }
  bool is_finished() const override { return text.size() >= 2; }
  std::string text;
};

std::string allowed(ThinkingGate& gate) {
  std::vector<uint32_t> words(4, 0);
  gate.fill(words);
  std::string out;
  for (int32_t id = 0; id < 128; ++id)
    if (words[static_cast<size_t>(id) / 32] >> (id % 32) & 1) out += static_cast<char>(id);
  return out;
}

// What comes out when the model would say `wish`, and the gate has the last word.
std::string run(ThinkingGate& gate, const std::string& wish) {
  std::string out;
  for (size_t i = 0; out.size() < 100 && i < wish.size();) {
    std::string may = allowed(gate);
    char next = may.size() == 1 ? may[0] : wish[i];
    i += may.size() > 1 || may[0] == wish[i];
    out += next;
    gate.accept(next);
  }
  return out;
}

const Bytes kBytes;

TEST(ThinkingGate, GrammarRulesBehindTheThought) {
  auto grammar = std::make_shared<OnlyX>();
  ThinkingGate gate({kBytes, -1, true}, grammar);
  EXPECT_EQ(run(gate, "ab</think>"), "ab</think>");
  EXPECT_EQ(allowed(gate), "x");
  EXPECT_FALSE(gate.is_finished());
  gate.accept('x');
  gate.accept('x');
  EXPECT_TRUE(gate.is_finished());
  EXPECT_EQ(grammar->text, "xx");
}

TEST(ThinkingGate, BudgetEndsTheThought) {
  for (int32_t budget : {0, 1, 5}) {
    ThinkingGate gate({kBytes, budget, true}, nullptr);
    std::string out = run(gate, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    EXPECT_EQ(out.substr(0, out.find('\n')), std::string(static_cast<size_t>(budget), 'a'));
    EXPECT_TRUE(out.substr(static_cast<size_t>(budget)).starts_with("\n</think>\n\naa")) << out;
  }
}

TEST(ThinkingGate, ThoughtThatTheModelOpens) {
  ThinkingGate gate({kBytes, 2, false}, nullptr);
  std::string out = run(gate, " \n<think>abcdefghijklmnopqrstuvwxyz");
  EXPECT_TRUE(out.starts_with(" \n<think>ab\n</think>\n\n")) << out;
}

TEST(ThinkingGate, AnswerWithoutThoughtReachesTheGrammarWhole) {
  auto grammar = std::make_shared<OnlyX>();
  ThinkingGate gate({kBytes, 2, false}, grammar);
  for (char c : std::string("<thi")) gate.accept(c);
  EXPECT_EQ(grammar->text, "");
  gate.accept('s');
  EXPECT_EQ(grammar->text, "<this");
}

TEST(ThinkingGate, EndInsideOfBudgetIsTheModelsOwn) {
  ThinkingGate gate({kBytes, 50, true}, nullptr);
  EXPECT_EQ(run(gate, "a</think>b</think>c"), "a</think>b</think>c");
}

}  // namespace
}  // namespace turgo
