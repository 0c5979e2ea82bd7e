#include "text/jinja/parser.h"

#include <algorithm>

#include "core/error.h"
#include "text/jinja/expression_parser.h"

namespace turgo::jinja {

namespace {

using Words = std::initializer_list<std::string_view>;

class Parser : private ExpressionParser {
 public:
  Parser(std::string_view source, const Limits& limits) : ExpressionParser(source, limits) {}

  Template run() {
    Block body = statements({});
    return {std::move(body), std::move(symbols_)};
  }

 private:
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

  int loops_ = 0;  // loops around the current statement, within its macro
};

}  // namespace

Template parse_template(std::string_view source, const Limits& limits) {
  return Parser(source, limits).run();
}

}  // namespace turgo::jinja
