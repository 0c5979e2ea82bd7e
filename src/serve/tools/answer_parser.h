// An answer's text, as it comes, becomes content, reasoning and tool calls. No marker ever reaches the
// content: text is held back while it may still become one. What comes out, joined, does not depend on how
// the text was cut into pieces, so a stream says what the whole answer says. Linear in the text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "serve/tools/tool_format.h"

namespace turgo {

struct AnswerPart {
  enum class Kind : uint8_t { kContent, kReasoning, kCall, kArguments };
  Kind kind;
  std::string text;  // kCall: the name
  size_t call = 0;   // number of the call, for kCall and kArguments
};

// The whole of several parts.
struct ParsedAnswer {
  struct Call {
    std::string name, arguments;
  };
  std::string content, reasoning;
  std::vector<Call> calls;
  void add(const AnswerPart& part);
};

class AnswerParser {
 public:
  struct Options {
    const ToolFormat* format = nullptr;  // nullptr: no calls are looked for
    bool thinks = false;                 // <think>…</think> is reasoning
    bool starts_thinking = false;        // the prompt has opened it
    // Type of a parameter ("string" …, "" = unknown), for formats that write values without quotes.
    std::string (*type_of)(const void* tools, const std::string& function,
                           const std::string& parameter) = nullptr;
    const void* tools = nullptr;
  };
  explicit AnswerParser(const Options& options);
  ~AnswerParser();
  AnswerParser(AnswerParser&&) noexcept;

  std::vector<AnswerPart> add(std::string_view text);
  std::vector<AnswerPart> finish();
  size_t num_calls() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turgo
