// Reads one JSON value out of a text that comes in pieces, without building it: byte by byte, with a depth
// counter and no recursion. As a call, {"name": …, "arguments": …}, it takes out the name and the raw text of
// the arguments while they come; as a bare value it passes on the raw text.
#pragma once

#include <cstdint>
#include <string>

namespace turgo {

class CallScanner {
 public:
  explicit CallScanner(bool is_call) : is_call_(is_call) {}

  enum class Result : uint8_t { kMore, kDone, kBad };  // kBad: the byte was not taken
  Result take(char c);

  const std::string& name() const { return name_; }
  bool has_name() const { return has_name_; }
  std::string take_arguments();  // what is new since the last time
  bool saw_arguments() const { return saw_arguments_; }

 private:
  enum class State : uint8_t { kStart, kKey, kColon, kValue, kComma, kDone };
  Result take_structure(char c);
  void end_value();

  bool is_call_;
  State state_ = State::kStart;
  int64_t depth_ = 0;  // of brackets open inside the value that is being read
  bool in_string_ = false, escaped_ = false, has_name_ = false, saw_arguments_ = false, after_comma_ = false;
  bool scalar_ = false;
  std::string key_, value_, name_, arguments_;
};

}  // namespace turgo
