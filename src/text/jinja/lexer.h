// Template source -> tokens, with jinja2's whitespace rules for trim_blocks and lstrip_blocks on,
// keep_trailing_newline off. Comments and raw blocks are resolved here. Linear in the source.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace turgo::jinja {

enum class TokenType : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenType type;
  int line;
  std::string text;  // data, name, decoded string, operator
  Int integer = 0;
  double number = 0;

  bool is_op(std::string_view op) const { return type == TokenType::kOperator && text == op; }
  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
};

// Error{kCorrupt} with the line for malformed source, Error{kResourceExhausted} for one that is too long.
std::vector<Token> tokenize(std::string_view source, const Limits& limits);

[[noreturn]] void syntax_error(int line, const std::string& message);

}  // namespace turgo::jinja
