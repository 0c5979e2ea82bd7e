// The half of the parser that reads expressions and assignment targets, and the token stream under both
// halves. Precedences are jinja2's. Recursion and the height of the tree are bounded by
// Limits::max_parse_depth.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace turgo::jinja {

class ExpressionParser {
 protected:
  ExpressionParser(std::string_view source, const Limits& limits)
      : limits_(limits), tokens_(tokenize(source, limits)) {}
  ~ExpressionParser() = default;

  // One level of recursion in the source; 200 levels of parenthesis use about 20 stack frames each.
  struct Nesting {
    explicit Nesting(ExpressionParser& p) : parser(p) {
      if (++p.depth_ > p.limits_.max_parse_depth) {
        fail(ErrorCode::kResourceExhausted, "chat template, line {}: nested deeper than {} levels",
             p.peek().line, p.limits_.max_parse_depth);
      }
    }
    ~Nesting() { --parser.depth_; }
    ExpressionParser& parser;
  };

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  const Token& next() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_op(std::string_view op) {
    if (!peek().is_op(op)) return false;
    next();
    return true;
  }
  bool skip_name(std::string_view name) {
    if (!peek().is_name(name)) return false;
    next();
    return true;
  }

  [[noreturn]] void unexpected(const std::string& expected) const;
  void expect_op(std::string_view op) {
    if (!skip_op(op)) unexpected(fmt::format("'{}'", op));
  }
  std::string expect_name() {
    if (peek().type != TokenType::kName) unexpected("a name");
    return next().text;
  }

  int symbol(const std::string& name) {
    auto [it, added] = symbol_ids_.emplace(name, static_cast<int>(symbols_.size()));
    if (added) symbols_.push_back(name);
    return it->second;
  }

  ExprPtr node(ExprKind kind, int line) const {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->line = line;
    return e;
  }
  ExprPtr constant(Value value, int line) const {
    ExprPtr e = node(ExprKind::kConst, line);
    e->value = std::move(value);
    return e;
  }
  // Every node passes here once its children are set: chains such as a+b+c… grow a tree without recursion.
  ExprPtr sealed(ExprPtr e) const;
  ExprPtr unary(ExprKind kind, int line, ExprPtr a) const {
    ExprPtr e = node(kind, line);
    e->items.push_back(std::move(a));
    return sealed(std::move(e));
  }
  ExprPtr pair(ExprKind kind, int line, ExprPtr a, ExprPtr b) const {
    ExprPtr e = node(kind, line);
    e->items.push_back(std::move(a));
    e->items.push_back(std::move(b));
    return sealed(std::move(e));
  }

  // name, namespace.name (where with_attribute allows it), or a tuple of targets.
  ExprPtr target(bool with_attribute);
  // One expression, or a tuple when commas follow. Stops at `end_word`; empty only when parenthesised.
  ExprPtr tuple(bool with_condition, std::string_view end_word = {}, bool parenthesised = false);
  ExprPtr expression();
  // e | a(…) | b …; with e null, the filters of a block.
  ExprPtr filter_chain(ExprPtr e, bool starts_with_name);

  const Limits& limits_;
  Stmt* macro_ = nullptr;  // macro around the current token
  std::vector<std::string> symbols_;

 private:
  ExprPtr target_item(bool with_attribute);
  ExprPtr or_expression();
  ExprPtr and_expression();
  ExprPtr not_expression();
  ExprPtr comparison();
  ExprPtr binary(BinaryOp op, int line, ExprPtr a, ExprPtr b) const;
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr signed_expression(bool with_filter);
  ExprPtr primary();
  ExprPtr name_or_constant();
  ExprPtr postfix(ExprPtr e);
  ExprPtr subscript(ExprPtr e);
  void arguments(Expr& e);
  ExprPtr call(ExprPtr callee);
  ExprPtr filters_and_tests(ExprPtr e);
  std::string dotted_name();
  ExprPtr test(ExprPtr e);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  std::unordered_map<std::string, int> symbol_ids_;
};

}  // namespace turgo::jinja
