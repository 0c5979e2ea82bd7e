#include "text/jinja/parser.h"

#include <algorithm>
#include <unordered_map>

#include "core/error.h"
#include "text/jinja/lexer.h"

namespace turgo::jinja {

namespace {

using Words = std::initializer_list<std::string_view>;

class Parser {
 public:
  Parser(std::string_view source, const Limits& limits)
      : limits_(limits), tokens_(tokenize(source, limits)) {}

  Template run() {
    Block body = statements({});
    return {std::move(body), std::move(symbols_)};
  }

 private:
  // One level of recursion in the source; 200 levels of parenthesis use about 20 stack frames each.
  struct Nesting {
    explicit Nesting(Parser& p) : parser(p) {
      if (++p.depth_ > p.limits_.max_parse_depth) {
        fail(ErrorCode::kResourceExhausted, "chat template, line {}: nested deeper than {} levels",
             p.peek().line, p.limits_.max_parse_depth);
      }
    }
    ~Nesting() { --parser.depth_; }
    Parser& parser;
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

  [[noreturn]] void unexpected(const std::string& expected) const {
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
  ExprPtr sealed(ExprPtr e) const {
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

  // --- statements ---

  // Until {% word %} for one of `until` (which stays unread after its '{%'), or the end of the source without
  // words.
  Block statements(Words until) {
    Nesting nesting(*this);
    Block block;
    while (true) {
      const Token& token = peek();
      if (token.type == TokenType::kEnd) {
        if (until.size() == 0) return block;
        syntax_error(token.line,
                     fmt::format("the template ends where '{}' was expected", *(until.end() - 1)));
      }
      if (token.type == TokenType::kData) {
        auto s = std::make_unique<Stmt>();
        s->kind = StmtKind::kData;
        s->line = token.line;
        s->text = constant_str(next().text);
        block.push_back(std::move(s));
      } else if (token.type == TokenType::kVariableBegin) {
        auto s = std::make_unique<Stmt>();
        s->kind = StmtKind::kOutput;
        s->line = token.line;
        next();
        s->expr = tuple(true);
        if (peek().type != TokenType::kVariableEnd) unexpected("end of the print statement");
        next();
        block.push_back(std::move(s));
      } else {
        next();  // {%
        if (peek().type == TokenType::kName &&
            std::find(until.begin(), until.end(), peek().text) != until.end()) {
          return block;
        }
        if (auto s = statement()) block.push_back(std::move(s));
        end_of_tag();
      }
    }
  }

  void end_of_tag() {
    if (peek().type != TokenType::kBlockEnd) unexpected("end of the statement");
    next();
  }

  // The body of a block statement whose opening tag is read up to its '%}'.
  Block body(Words until, bool drop_word) {
    skip_op(":");
    end_of_tag();
    Block block = statements(until);
    if (drop_word) next();
    return block;
  }

  std::unique_ptr<Stmt> statement() {
    const Token& token = peek();
    if (token.type != TokenType::kName) unexpected("a statement");
    auto s = std::make_unique<Stmt>();
    s->line = token.line;
    std::string word = next().text;
    if (word == "if") {
      if_statement(*s);
    } else if (word == "for") {
      for_statement(*s);
    } else if (word == "set") {
      set_statement(*s);
    } else if (word == "macro") {
      macro_statement(*s);
    } else if (word == "with") {
      with_statement(*s);
    } else if (word == "filter") {
      s->kind = StmtKind::kFilterBlock;
      s->expr = filter_chain(nullptr, true);
      s->body = body({"endfilter"}, true);
    } else if (word == "generation") {
      s->kind = StmtKind::kScoped;
      s->body = body({"endgeneration"}, true);
    } else if (word == "break" || word == "continue") {
      if (loops_ == 0) syntax_error(s->line, fmt::format("'{}' outside of a loop", word));
      s->kind = word == "break" ? StmtKind::kBreak : StmtKind::kContinue;
    } else {
      for (std::string_view known : {"include", "import", "from", "extends", "block", "call", "autoescape"}) {
        if (word == known) {
          fail(ErrorCode::kUnsupported, "chat template, line {}: '{}' is not supported in chat templates",
               s->line, word);
        }
      }
      syntax_error(s->line, fmt::format("unknown statement '{}'", word));
    }
    return s;
  }

  void if_statement(Stmt& s) {
    s.kind = StmtKind::kIf;
    while (true) {
      ExprPtr test = tuple(false);
      Block then = body({"elif", "else", "endif"}, false);
      s.branches.emplace_back(std::move(test), std::move(then));
      std::string word = next().text;
      if (word == "endif") return;
      if (word == "else") break;
    }
    s.orelse = body({"endif"}, true);
  }

  void for_statement(Stmt& s) {
    s.kind = StmtKind::kFor;
    s.target = target(false);
    if (!skip_name("in")) unexpected("'in'");
    s.expr = tuple(false, "recursive");
    if (skip_name("if")) s.test = expression();
    s.recursive = skip_name("recursive");
    ++loops_;
    s.body = body({"endfor", "else"}, false);
    --loops_;
    if (next().text == "else") s.orelse = body({"endfor"}, true);
  }

  void set_statement(Stmt& s) {
    s.target = target(true);
    if (skip_op("=")) {
      s.kind = StmtKind::kSet;
      s.expr = tuple(true);
      return;
    }
    s.kind = StmtKind::kSetBlock;
    if (peek().is_op("|")) s.expr = filter_chain(nullptr, false);
    s.body = body({"endset"}, true);
  }

  void macro_statement(Stmt& s) {
    s.kind = StmtKind::kMacro;
    std::string name = expect_name();
    s.symbol = symbol(name);
    s.text = constant_str(name);
    expect_op("(");
    while (!peek().is_op(")")) {
      if (!s.params.empty()) expect_op(",");
      if (peek().is_op(")")) break;
      Param param{expect_name(), 0, nullptr};
      param.symbol = symbol(param.name);
      if (skip_op("=")) {
        param.value = expression();
      } else if (!s.params.empty() && s.params.back().value) {
        syntax_error(s.line, "a parameter without default follows one with a default");
      }
      s.params.push_back(std::move(param));
    }
    expect_op(")");
    Stmt* outer = macro_;
    int outer_loops = loops_;
    macro_ = &s;
    loops_ = 0;
    s.body = body({"endmacro"}, true);
    macro_ = outer;
    loops_ = outer_loops;
  }

  void with_statement(Stmt& s) {
    s.kind = StmtKind::kWith;
    while (peek().type != TokenType::kBlockEnd) {
      if (!s.params.empty()) expect_op(",");
      Param param{expect_name(), 0, nullptr};
      param.symbol = symbol(param.name);
      expect_op("=");
      param.value = expression();
      s.params.push_back(std::move(param));
    }
    s.body = body({"endwith"}, true);
  }

  // --- assignment targets: name, namespace.name, or a tuple of targets ---

  ExprPtr target(bool with_attribute) {
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

  ExprPtr target_item(bool with_attribute) {
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
  ExprPtr tuple(bool with_condition, std::string_view end_word = {}, bool parenthesised = false) {
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

  ExprPtr expression() {
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

  ExprPtr or_expression() {
    int line = peek().line;
    ExprPtr left = and_expression();
    while (skip_name("or")) left = pair(ExprKind::kOr, line, std::move(left), and_expression());
    return left;
  }

  ExprPtr and_expression() {
    int line = peek().line;
    ExprPtr left = not_expression();
    while (skip_name("and")) left = pair(ExprKind::kAnd, line, std::move(left), not_expression());
    return left;
  }

  ExprPtr not_expression() {
    int line = peek().line;
    if (!skip_name("not")) return comparison();
    Nesting nesting(*this);
    return unary(ExprKind::kNot, line, not_expression());
  }

  ExprPtr comparison() {
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

  ExprPtr binary(BinaryOp op, int line, ExprPtr a, ExprPtr b) const {
    ExprPtr e = pair(ExprKind::kBinary, line, std::move(a), std::move(b));
    e->op = op;
    return e;
  }

  ExprPtr sum() {
    ExprPtr left = concatenation();
    while (peek().is_op("+") || peek().is_op("-")) {
      const Token& token = next();
      left = binary(token.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub, token.line, std::move(left),
                    concatenation());
    }
    return left;
  }

  ExprPtr concatenation() {
    int line = peek().line;
    ExprPtr first = product();
    if (!peek().is_op("~")) return first;
    ExprPtr e = node(ExprKind::kConcat, line);
    e->items.push_back(std::move(first));
    while (skip_op("~")) e->items.push_back(product());
    return sealed(std::move(e));
  }

  ExprPtr product() {
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

  ExprPtr power() {
    ExprPtr left = signed_expression(true);
    while (peek().is_op("**")) {
      int line = next().line;
      left = binary(BinaryOp::kPow, line, std::move(left), signed_expression(true));
    }
    return left;
  }

  ExprPtr signed_expression(bool with_filter) {
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

  ExprPtr primary() {
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

  ExprPtr name_or_constant() {
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

  ExprPtr postfix(ExprPtr e) {
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

  ExprPtr subscript(ExprPtr e) {
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
  void arguments(Expr& e) {
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

  ExprPtr call(ExprPtr callee) {
    ExprPtr e = node(ExprKind::kCall, peek().line);
    e->items.push_back(std::move(callee));
    arguments(*e);
    return sealed(std::move(e));
  }

  ExprPtr filters_and_tests(ExprPtr e) {
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

  std::string dotted_name() {
    std::string name = expect_name();
    while (skip_op(".")) name += fmt::format(".{}", expect_name());
    return name;
  }

  ExprPtr filter_chain(ExprPtr e, bool starts_with_name) {
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

  ExprPtr test(ExprPtr e) {
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

  const Limits& limits_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;          // loops around the current statement, within its macro
  Stmt* macro_ = nullptr;  // macro around it
  std::vector<std::string> symbols_;
  std::unordered_map<std::string, int> symbol_ids_;
};

}  // namespace

Template parse_template(std::string_view source, const Limits& limits) {
  return Parser(source, limits).run();
}

}  // namespace turgo::jinja
