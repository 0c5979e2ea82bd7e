#include "serve/tools/call_scanner.h"

#include <nlohmann/json.hpp>

namespace turgo {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// A JSON string's text; the raw text if it is none.
std::string unquoted(const std::string& raw) {
  nlohmann::json value = nlohmann::json::parse(raw, nullptr, false);
  return value.is_string() ? value.get<std::string>() : raw;
}

bool is_arguments(const std::string& key) {
  return key == "arguments" || key == "parameters" || key == "args";
}

}  // namespace

std::string CallScanner::take_arguments() {
  std::string out;
  if (has_name_ || !is_call_) out.swap(arguments_);
  return out;
}

void CallScanner::end_value() {
  if (is_call_ && (key_ == "name" || key_ == "function") && !has_name_ && value_.starts_with('"')) {
    name_ = unquoted(value_);
    has_name_ = true;
  }
  // Some models write the arguments as JSON inside a JSON string.
  if (is_call_ && is_arguments(key_) && value_.starts_with('"')) arguments_ += unquoted(value_);
  value_.clear();
  depth_ = 0;
  scalar_ = false;
  state_ = is_call_ ? State::kComma : State::kDone;
}

CallScanner::Result CallScanner::take(char c) {
  if (state_ == State::kDone) return Result::kDone;
  if (state_ != State::kValue) return take_structure(c);
  bool streams = !is_call_ || is_arguments(key_);
  if (scalar_ && (c == ',' || c == '}' || c == ']' || is_space(c))) {  // a number or word has ended before
    end_value();
    return state_ == State::kDone ? Result::kDone : take_structure(c);
  }
  bool begins = value_.empty() && depth_ == 0 && !in_string_ && !scalar_;
  if (begins && is_space(c)) return Result::kMore;
  if (begins && (c == ',' || c == '}' || c == ']' || c == ':')) return Result::kBad;
  bool is_text = begins ? c == '"' : value_.starts_with('"');
  if (is_call_ && is_arguments(key_)) saw_arguments_ = true;
  if (streams && !is_text) arguments_ += c;
  // Of what streams only the first byte is kept, to know its kind.
  if (!streams || is_text || value_.empty()) value_ += c;
  if (in_string_) {
    if (escaped_)
      escaped_ = false;
    else if (c == '\\')
      escaped_ = true;
    else if (c == '"')
      in_string_ = false;
    if (!in_string_ && depth_ == 0) end_value();
  } else if (c == '"') {
    in_string_ = true;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (c == '}' || c == ']') {
    if (--depth_ <= 0) end_value();
  } else if (begins) {
    scalar_ = true;
  }
  return state_ == State::kDone ? Result::kDone : Result::kMore;
}

CallScanner::Result CallScanner::take_structure(char c) {
  if (in_string_) {  // a key
    key_ += c;
    if (escaped_)
      escaped_ = false;
    else if (c == '\\')
      escaped_ = true;
    else if (c == '"') {
      in_string_ = false;
      key_ = unquoted(key_);
      state_ = State::kColon;
    }
    return Result::kMore;
  }
  if (is_space(c)) return Result::kMore;
  if (state_ == State::kStart && !is_call_) {
    state_ = State::kValue;
    return c == '{' ? take(c) : Result::kBad;
  }
  if (state_ == State::kStart && c == '{') {
    state_ = State::kKey;
  } else if (state_ == State::kKey && c == '"') {
    key_ = c;
    in_string_ = true;
  } else if (state_ == State::kColon && c == ':') {
    state_ = State::kValue;
  } else if (state_ == State::kComma && c == ',') {
    state_ = State::kKey;
  } else if (c == '}' && (state_ == State::kComma || state_ == State::kKey)) {
    state_ = State::kDone;
    return Result::kDone;
  } else {
    return Result::kBad;
  }
  return Result::kMore;
}

}  // namespace turgo
