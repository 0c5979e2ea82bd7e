// Runs a parsed template over variables. Scopes follow jinja2: a loop, a macro, a `with` and a captured block
// have their own, `if` has none; macros see the variables of the place where they are defined.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/loop.h"
#include "text/jinja/runtime.h"

namespace turgo::jinja {

struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<int, Value>> variables;  // symbol -> value; few, so a scan
  bool captured = false;  // a macro or a recursive loop refers to it: it must stay until the rendering ends
};

struct Macro : Object {
  const Stmt* node = nullptr;
  Scope* scope = nullptr;
};

class Interpreter final : public Runtime {
 public:
  Interpreter(const Template& tree, const Limits& limits);

  void set_variable(const std::string& name, Value value);
  MarkedText render();

  Value call(const Value& callee, Args args) override;
  Value apply_filter(const std::string& name, const Value& value, Args args) override;
  bool apply_test(const std::string& name, const Value& value, Args args) override;

 private:
  enum class Flow { kNext, kBreak, kContinue };
  class Depth;
  class ScopeGuard;

  Flow run(const Block& block, Scope& scope, StrBuilder& out);
  Flow run(const Stmt& s, Scope& scope, StrBuilder& out);
  void run_for(const Stmt& s, const Value& iterable, Scope& scope, StrBuilder& out, int depth0);
  void run_set_block(const Stmt& s, Scope& scope);
  void define_macro(const Stmt& s, Scope& scope);
  void assign(const Expr& target, Value value, Scope& scope);

  Value eval(const Expr& e, Scope& scope);
  Value eval_name(const Expr& e, Scope& scope);
  Value eval_compare(const Expr& e, Scope& scope);
  Value eval_call(const Expr& e, Scope& scope);
  Value eval_dict(const Expr& e, Scope& scope);
  // A filter chain whose innermost operand is `body`.
  Value eval_filter(const Expr& e, Scope& scope, const Value* body);
  Args eval_args(const Expr& e, Scope& scope);
  std::vector<Value> eval_items(const Expr& e, Scope& scope, size_t first = 0);
  Value capture(const Block& block, Scope& parent);
  Value call_macro(const Macro& macro, Args args);

  void define(Scope& scope, int symbol, Value value);
  Scope* enter(Scope* parent);
  void leave(Scope* scope);
  static void keep(Scope* scope);

  const Template& tree_;
  int depth_ = 0;
  int loop_symbol_ = -1, varargs_symbol_ = -1, kwargs_symbol_ = -1;
  std::vector<std::unique_ptr<Scope>> scopes_;
  std::vector<Scope*> free_scopes_;
  std::vector<Value> globals_;  // by symbol; undefined where there is no such function
  Scope* root_;
};

}  // namespace turgo::jinja
