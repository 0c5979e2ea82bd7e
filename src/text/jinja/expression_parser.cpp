#include "text/jinja/expression_parser.h"

namespace turgo::jinja {

void ExpressionParser::unexpected(const std::string& expected) const {
  const Token& token = peek();
  static constexpr const char* kNames[] = {"text",
                                           "'{{'",
                                           "end of the print statement",
                                           "'{%'",
                                           "end of the statement",
                                           "name",
                                           "a string",
                                           "an integer",
                                           "a number",
                                           "operator",
                                           "the end of the template"};
  std::string got = kNames[static_cast<int>(token.type)];
  if (token.type == TokenType::kName || token.type == TokenType::kOperator)
    got += fmt::format(" '{}'", token.text);
  syntax_error(token.line, fmt::format("expected {}, got {}", expected, got));
}

ExprPtr ExpressionParser::sealed(ExprPtr e) const {
  int height = 0;
  for (const auto& child : e->items) {
    if (child) height = std::max(height, child->height);
  }
  for (const auto& child : e->named) height = std::max(height, child.second->height);
  e->height = height + 1;
  if (e->height > limits_.max_parse_depth) {
    fail(ErrorCode::kResourceExhausted,
         "chat template, line {}: an expression is nested deeper than {} levels", e->line,
         limits_.max_parse_depth);
  }
  return e;
}

// --- assignment targets: name, namespace.name, or a tuple of targets ---

ExprPtr ExpressionParser::target(bool with_attribute) {
  int line = peek().line;
  ExprPtr first = target_item(with_attribute);
  if (!peek().is_op(",")) return first;
  ExprPtr e = node(ExprKind::kTuple, line);
  e->items.push_back(std::move(first));
  while (skip_op(",")) {
    if (peek().is_name("in") || peek().is_op("=") || peek().is_op(")")) break;
    e->items.push_back(target_item(with_attribute));
  }
  return sealed(std::move(e));
}

ExprPtr ExpressionParser::target_item(bool with_attribute) {
  Nesting nesting(*this);
  int line = peek().line;
  if (skip_op("(")) {
    ExprPtr inner = target(with_attribute);
    expect_op(")");
    return inner;
  }
  std::string name = expect_name();
  for (std::string_view reserved : {"true", "false", "none", "True", "False", "None"}) {
    if (name == reserved) syntax_error(line, fmt::format("can not assign to '{}'", name));
  }
  ExprPtr e = node(ExprKind::kName, line);
  e->symbol = symbol(name);
  e->name = name;
  if (!with_attribute || !skip_op(".")) return e;
  ExprPtr attribute = unary(ExprKind::kAttribute, line, std::move(e));
  attribute->name = expect_name();
  return attribute;
}

// --- expressions, loosest first ---

// One expression, or a tuple when commas follow.
ExprPtr ExpressionParser::tuple(bool with_condition, std::string_view end_word, bool parenthesised) {
  int line = peek().line;
  ExprPtr e = node(ExprKind::kTuple, line);
  bool is_tuple = false;
  while (true) {
    if (!e->items.empty()) expect_op(",");
    const Token& token = peek();
    if (token.type == TokenType::kVariableEnd || token.type == TokenType::kBlockEnd || token.is_op(")") ||
        (!end_word.empty() && token.is_name(end_word))) {
      break;
    }
    e->items.push_back(with_condition ? expression() : or_expression());
    if (!peek().is_op(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return sealed(std::move(e));
  if (!e->items.empty()) return std::move(e->items[0]);
  if (!parenthesised) unexpected("an expression");
  return e;
}

ExprPtr ExpressionParser::expression() {
  int line = peek().line;
  ExprPtr e = or_expression();
  while (skip_name("if")) {
    ExprPtr condition = node(ExprKind::kCondition, line);
    condition->items.push_back(or_expression());
    condition->items.push_back(std::move(e));
    if (skip_name("else")) {
      Nesting nesting(*this);
      condition->items.push_back(expression());
    }
    e = sealed(std::move(condition));
  }
  return e;
}

ExprPtr ExpressionParser::or_expression() {
  int line = peek().line;
  ExprPtr left = and_expression();
  while (skip_name("or")) left = pair(ExprKind::kOr, line, std::move(left), and_expression());
  return left;
}

ExprPtr ExpressionParser::and_expression() {
  int line = peek().line;
  ExprPtr left = not_expression();
  while (skip_name("and")) left = pair(ExprKind::kAnd, line, std::move(left), not_expression());
  return left;
}

ExprPtr ExpressionParser::not_expression() {
  int line = peek().line;
  if (!skip_name("not")) return comparison();
  Nesting nesting(*this);
  return unary(ExprKind::kNot, line, not_expression());
}

ExprPtr ExpressionParser::comparison() {
  static constexpr std::pair<std::string_view, CompareOp> kOps[] = {
      {"==", CompareOp::kEq}, {"!=", CompareOp::kNe}, {"<", CompareOp::kLt},
      {"<=", CompareOp::kLe}, {">", CompareOp::kGt},  {">=", CompareOp::kGe}};
  int line = peek().line;
  ExprPtr first = sum();
  ExprPtr e;
  while (true) {
    const CompareOp* op = nullptr;
    static constexpr CompareOp kIn = CompareOp::kIn, kNotIn = CompareOp::kNotIn;
    for (const auto& known : kOps) {
      if (peek().is_op(known.first)) op = &known.second;
    }
    if (peek().is_name("in")) op = &kIn;
    if (peek().is_name("not") && peek(1).is_name("in")) {
      op = &kNotIn;
      next();
    }
    if (!op) break;
    next();
    if (!e) {
      e = node(ExprKind::kCompare, line);
      e->items.push_back(std::move(first));
    }
    e->compare_ops.push_back(*op);
    e->items.push_back(sum());
  }
  return e ? sealed(std::move(e)) : std::move(first);
}

ExprPtr ExpressionParser::binary(BinaryOp op, int line, ExprPtr a, ExprPtr b) const {
  ExprPtr e = pair(ExprKind::kBinary, line, std::move(a), std::move(b));
  e->op = op;
  return e;
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = concatenation();
  while (peek().is_op("+") || peek().is_op("-")) {
    const Token& token = next();
    left = binary(token.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub, token.line, std::move(left),
                  concatenation());
  }
  return left;
}

ExprPtr ExpressionParser::concatenation() {
  int line = peek().line;
  ExprPtr first = product();
  if (!peek().is_op("~")) return first;
  ExprPtr e = node(ExprKind::kConcat, line);
  e->items.push_back(std::move(first));
  while (skip_op("~")) e->items.push_back(product());
  return sealed(std::move(e));
}

ExprPtr ExpressionParser::product() {
  ExprPtr left = power();
  while (true) {
    const Token& token = peek();
    BinaryOp op;
    if (token.is_op("*")) {
      op = BinaryOp::kMul;
    } else if (token.is_op("/")) {
      op = BinaryOp::kDiv;
    } else if (token.is_op("//")) {
      op = BinaryOp::kFloorDiv;
    } else if (token.is_op("%")) {
      op = BinaryOp::kMod;
    } else {
      return left;
    }
    int line = next().line;
    left = binary(op, line, std::move(left), power());
  }
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = signed_expression(true);
  while (peek().is_op("**")) {
    int line = next().line;
    left = binary(BinaryOp::kPow, line, std::move(left), signed_expression(true));
  }
  return left;
}

ExprPtr ExpressionParser::signed_expression(bool with_filter) {
  Nesting nesting(*this);
  int line = peek().line;
  ExprPtr e;
  if (skip_op("-")) {
    e = unary(ExprKind::kNegate, line, signed_expression(false));
  } else if (skip_op("+")) {
    e = unary(ExprKind::kPositive, line, signed_expression(false));
  } else {
    e = primary();
  }
  e = postfix(std::move(e));
  return with_filter ? filters_and_tests(std::move(e)) : std::move(e);
}

ExprPtr ExpressionParser::primary() {
  const Token& token = peek();
  int line = token.line;
  switch (token.type) {
    case TokenType::kName:
      return name_or_constant();
    case TokenType::kString: {
      std::string text;
      while (peek().type == TokenType::kString) text += next().text;
      return constant(Value::string(std::move(text)), line);
    }
    case TokenType::kInteger:
      return constant(Value::integer(next().integer), line);
    case TokenType::kFloat:
      return constant(Value::number(next().number), line);
    default:
      break;
  }
  if (skip_op("(")) {
    ExprPtr e = tuple(true, {}, true);
    expect_op(")");
    return e;
  }
  if (skip_op("[")) {
    ExprPtr e = node(ExprKind::kList, line);
    while (!peek().is_op("]")) {
      if (!e->items.empty()) expect_op(",");
      if (peek().is_op("]")) break;
      e->items.push_back(expression());
    }
    expect_op("]");
    return sealed(std::move(e));
  }
  if (skip_op("{")) {
    ExprPtr e = node(ExprKind::kDict, line);
    while (!peek().is_op("}")) {
      if (!e->items.empty()) expect_op(",");
      if (peek().is_op("}")) break;
      e->items.push_back(expression());
      expect_op(":");
      e->items.push_back(expression());
    }
    expect_op("}");
    return sealed(std::move(e));
  }
  unexpected("an expression");
}

ExprPtr ExpressionParser::name_or_constant() {
  const Token& token = next();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return constant(Value::boolean(true), token.line);
  if (name == "false" || name == "False") return constant(Value::boolean(false), token.line);
  if (name == "none" || name == "None") return constant(Value::none(), token.line);
  if (macro_ && name == "varargs") macro_->wants_varargs = true;
  if (macro_ && name == "kwargs") macro_->wants_kwargs = true;
  ExprPtr e = node(ExprKind::kName, token.line);
  e->symbol = symbol(name);
  e->name = name;
  return e;
}

ExprPtr ExpressionParser::postfix(ExprPtr e) {
  while (true) {
    const Token& token = peek();
    if (token.is_op(".")) {
      next();
      if (peek().type == TokenType::kName) {
        ExprPtr attribute = unary(ExprKind::kAttribute, token.line, std::move(e));
        attribute->name = next().text;
        e = std::move(attribute);
      } else if (peek().type == TokenType::kInteger) {
        ExprPtr index = constant(Value::integer(next().integer), token.line);
        e = pair(ExprKind::kItem, token.line, std::move(e), std::move(index));
      } else {
        unexpected("a name or an integer after '.'");
      }
    } else if (token.is_op("[")) {
      e = subscript(std::move(e));
    } else if (token.is_op("(")) {
      e = call(std::move(e));
    } else {
      return e;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr e) {
  int line = next().line;
  auto absent = [&] { return constant(Value::none(), line); };
  auto at_end = [&] { return peek().is_op("]") || peek().is_op(",") || peek().is_op(":"); };
  ExprPtr start = peek().is_op(":") ? nullptr : expression();
  if (!peek().is_op(":")) {
    if (peek().is_op(",")) {
      ExprPtr key = node(ExprKind::kTuple, line);
      key->items.push_back(std::move(start));
      while (skip_op(",")) {
        if (peek().is_op("]")) break;
        key->items.push_back(expression());
      }
      start = sealed(std::move(key));
    }
    expect_op("]");
    return pair(ExprKind::kItem, line, std::move(e), std::move(start));
  }
  next();
  ExprPtr slice = node(ExprKind::kSlice, line);
  slice->items.push_back(std::move(e));
  slice->items.push_back(start ? std::move(start) : absent());
  slice->items.push_back(at_end() ? absent() : expression());
  slice->items.push_back(skip_op(":") && !at_end() ? expression() : absent());
  expect_op("]");
  return sealed(std::move(slice));
}

// "(a, b, name=c)" appended to `e`, which becomes the callee or the operand.
void ExpressionParser::arguments(Expr& e) {
  expect_op("(");
  bool first = true;
  while (!peek().is_op(")")) {
    if (!first) expect_op(",");
    first = false;
    if (peek().is_op(")")) break;
    if (peek().is_op("*") || peek().is_op("**")) {
      fail(ErrorCode::kUnsupported, "chat template, line {}: '*' arguments are not supported", peek().line);
    }
    if (peek().type == TokenType::kName && peek(1).is_op("=")) {
      std::string name = next().text;
      next();
      for (const auto& other : e.named) {
        if (other.first == name) syntax_error(e.line, fmt::format("argument '{}' is given twice", name));
      }
      e.named.emplace_back(name, expression());
    } else {
      if (!e.named.empty()) syntax_error(e.line, "a positional argument follows a named one");
      e.items.push_back(expression());
    }
  }
  expect_op(")");
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  ExprPtr e = node(ExprKind::kCall, peek().line);
  e->items.push_back(std::move(callee));
  arguments(*e);
  return sealed(std::move(e));
}

ExprPtr ExpressionParser::filters_and_tests(ExprPtr e) {
  while (true) {
    if (peek().is_op("|")) {
      e = filter_chain(std::move(e), false);
    } else if (peek().is_name("is")) {
      e = test(std::move(e));
    } else if (peek().is_op("(")) {
      e = call(std::move(e));
    } else {
      return e;
    }
  }
}

std::string ExpressionParser::dotted_name() {
  std::string name = expect_name();
  while (skip_op(".")) name += fmt::format(".{}", expect_name());
  return name;
}

ExprPtr ExpressionParser::filter_chain(ExprPtr e, bool starts_with_name) {
  while (starts_with_name || skip_op("|")) {
    starts_with_name = false;
    ExprPtr filter = node(ExprKind::kFilter, peek().line);
    filter->name = dotted_name();
    filter->items.push_back(std::move(e));
    if (peek().is_op("(")) arguments(*filter);
    e = sealed(std::move(filter));
  }
  return e;
}

ExprPtr ExpressionParser::test(ExprPtr e) {
  int line = next().line;  // is
  bool negated = skip_name("not");
  ExprPtr result = node(ExprKind::kTest, line);
  result->name = dotted_name();
  result->items.push_back(std::move(e));
  const Token& token = peek();
  bool operand = token.type == TokenType::kName || token.type == TokenType::kString ||
                 token.type == TokenType::kInteger || token.type == TokenType::kFloat || token.is_op("[") ||
                 token.is_op("{");
  if (token.is_op("(")) {
    arguments(*result);
  } else if (operand && !token.is_name("else") && !token.is_name("or") && !token.is_name("and")) {
    if (token.is_name("is")) syntax_error(line, "tests can not be chained with 'is'");
    result->items.push_back(postfix(primary()));
  }
  result = sealed(std::move(result));
  return negated ? unary(ExprKind::kNot, line, std::move(result)) : std::move(result);
}

}  // namespace turgo::jinja
