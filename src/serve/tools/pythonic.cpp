#include "serve/tools/pythonic.h"

#include <nlohmann/json.hpp>

#include "core/options.h"

namespace turgo {
namespace {

constexpr int kMaxDepth = 64;

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-';
}

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool calls(std::vector<PythonCall>& out) {
    space();
    bool in_list = accept('[');
    for (;;) {
      space();
      if (in_list && accept(']')) break;
      if (!in_list && at_end()) break;
      if (!call(out)) return false;
      space();
      accept(',') || accept(';');
    }
    space();
    return at_end() && !out.empty();
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }
  void space() {
    while (!at_end() && (peek() == ' ' || peek() == '\n' || peek() == '\t' || peek() == '\r')) ++at_;
  }
  bool accept(char c) {
    if (peek() != c || at_end()) return false;
    ++at_;
    return true;
  }
  std::string word() {
    size_t begin = at_;
    while (!at_end() && is_word(peek())) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  bool call(std::vector<PythonCall>& out) {
    std::string name = word();
    if (name.empty() || !accept('(')) return false;
    Json arguments = Json::object();
    for (;;) {
      space();
      if (accept(')')) break;
      std::string key = word();
      space();
      Json value;
      if (key.empty() || !accept('=') || !literal(value, 0)) return false;
      arguments[key] = std::move(value);
      space();
      if (!accept(',') && peek() != ')') return false;
    }
    out.push_back({name, arguments.dump(-1, ' ', false, Json::error_handler_t::replace)});
    return true;
  }

  bool literal(Json& out, int depth) {
    if (depth > kMaxDepth) return false;
    space();
    char c = peek();
    if (c == '"' || c == '\'') return text(out);
    if (c == '[' || c == '(') return list(out, depth, c == '[' ? ']' : ')');
    if (c == '{') return dictionary(out, depth);
    size_t begin = at_;
    if (c == '+') ++at_;
    std::string bare = word();
    while (!bare.empty() && (bare.back() == 'e' || bare.back() == 'E') && peek() == '+') {
      ++at_;
      bare += '+' + word();
    }
    if (bare == "True" || bare == "true") return out = true, true;
    if (bare == "False" || bare == "false") return out = false, true;
    if (bare == "None" || bare == "null") return out = nullptr, true;
    out = Json::parse(bare, nullptr, false);
    if (out.is_number()) return true;
    at_ = begin;
    return false;
  }

  bool text(Json& out) {
    char quote = text_[at_++];
    std::string value;
    for (; !at_end(); ++at_) {
      char c = peek();
      if (c == quote) return ++at_, out = value, true;
      if (c != '\\' || at_ + 1 >= text_.size()) {
        value += c;
        continue;
      }
      char escaped = text_[++at_];
      value += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped == 'r' ? '\r' : escaped;
    }
    return false;
  }

  bool list(Json& out, int depth, char end) {
    ++at_;
    out = Json::array();
    for (;;) {
      space();
      if (accept(end)) return true;
      Json value;
      if (!literal(value, depth + 1)) return false;
      out.push_back(std::move(value));
      space();
      if (!accept(',') && peek() != end) return false;
    }
  }

  bool dictionary(Json& out, int depth) {
    ++at_;
    out = Json::object();
    for (;;) {
      space();
      if (accept('}')) return true;
      Json key, value;
      if ((peek() != '"' && peek() != '\'') || !text(key)) return false;
      space();
      if (!accept(':') || !literal(value, depth + 1)) return false;
      out[key.get<std::string>()] = std::move(value);
      space();
      if (!accept(',') && peek() != '}') return false;
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::optional<std::vector<PythonCall>> parse_python_calls(std::string_view text) {
  std::vector<PythonCall> out;
  if (!Reader(text).calls(out)) return std::nullopt;
  return out;
}

}  // namespace turgo
