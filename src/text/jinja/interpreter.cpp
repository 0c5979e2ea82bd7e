#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& i) : interpreter_(i) {
    if (++interpreter_.depth_ > i.limits.max_eval_depth) {
      --interpreter_.depth_;
      i.out_of(fmt::format("{} nested evaluations; does a macro call itself?", i.limits.max_eval_depth));
    }
  }
  ~Depth() { --interpreter_.depth_; }

 private:
  Interpreter& interpreter_;
};

class Interpreter::ScopeGuard {
 public:
  ScopeGuard(Interpreter& i, Scope* parent) : interpreter_(i), scope_(i.enter(parent)) {}
  ~ScopeGuard() { interpreter_.leave(scope_); }
  Scope& operator*() const { return *scope_; }
  Scope* get() const { return scope_; }

 private:
  Interpreter& interpreter_;
  Scope* scope_;
};

Interpreter::Interpreter(const Template& tree, const Limits& with_limits)
    : Runtime(with_limits), tree_(tree) {
  globals_.resize(tree.symbols.size());
  for (size_t i = 0; i < tree.symbols.size(); ++i) {
    const std::string& name = tree.symbols[i];
    if (name == "loop") loop_symbol_ = static_cast<int>(i);
    if (name == "varargs") varargs_symbol_ = static_cast<int>(i);
    if (name == "kwargs") kwargs_symbol_ = static_cast<int>(i);
    const char* stored_name = nullptr;
    if (FunctionFn fn = find_global(name, &stored_name)) {
      auto* function = make<Function>();
      function->name = stored_name;
      function->fn = fn;
      globals_[i] = Value::object(Kind::kFunction, function);
    }
  }
  root_ = enter(nullptr);
}

void Interpreter::set_variable(const std::string& name, Value value) {
  auto it = std::find(tree_.symbols.begin(), tree_.symbols.end(), name);
  if (it != tree_.symbols.end())
    define(*root_, static_cast<int>(it - tree_.symbols.begin()), std::move(value));
}

MarkedText Interpreter::render() {
  StrBuilder out(*this);
  run(tree_.body, *root_, out);
  return out.take();
}

Scope* Interpreter::enter(Scope* parent) {
  if (free_scopes_.empty()) {
    grow(sizeof(Scope) + 128);
    scopes_.push_back(std::make_unique<Scope>());
    free_scopes_.push_back(scopes_.back().get());
  }
  Scope* scope = free_scopes_.back();
  free_scopes_.pop_back();
  scope->parent = parent;
  return scope;
}

void Interpreter::leave(Scope* scope) {
  if (scope->captured) return;
  scope->variables.clear();
  free_scopes_.push_back(scope);
}

void Interpreter::keep(Scope* scope) {
  for (; scope && !scope->captured; scope = scope->parent) scope->captured = true;
}

void Interpreter::define(Scope& scope, int symbol, Value value) {
  for (auto& [known, old] : scope.variables) {
    if (known == symbol) {
      old = std::move(value);
      return;
    }
  }
  scope.variables.emplace_back(symbol, std::move(value));
}

Interpreter::Flow Interpreter::run(const Block& block, Scope& scope, StrBuilder& out) {
  for (const auto& s : block) {
    Flow flow = run(*s, scope, out);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::run(const Stmt& s, Scope& scope, StrBuilder& out) {
  Depth depth(*this);
  line = s.line;
  step();
  switch (s.kind) {
    case StmtKind::kData:
      out.add(*s.text);
      break;
    case StmtKind::kOutput:
      append_str(*this, out, eval(*s.expr, scope));
      break;
    case StmtKind::kIf:
      for (const auto& [test, body] : s.branches) {
        if (truthy(eval(*test, scope))) return run(body, scope, out);
      }
      return run(s.orelse, scope, out);
    case StmtKind::kFor:
      run_for(s, eval(*s.expr, scope), scope, out, 0);
      break;
    case StmtKind::kSet:
      assign(*s.target, eval(*s.expr, scope), scope);
      break;
    case StmtKind::kSetBlock:
      run_set_block(s, scope);
      break;
    case StmtKind::kFilterBlock: {
      Value body = capture(s.body, scope);
      append_str(*this, out, eval_filter(*s.expr, scope, &body));
      break;
    }
    case StmtKind::kMacro:
      define_macro(s, scope);
      break;
    case StmtKind::kWith: {
      ScopeGuard inner(*this, &scope);
      for (const Param& p : s.params) define(*inner, p.symbol, eval(*p.value, scope));
      return run(s.body, *inner, out);
    }
    case StmtKind::kScoped: {
      ScopeGuard inner(*this, &scope);
      return run(s.body, *inner, out);
    }
    case StmtKind::kBreak:
      return Flow::kBreak;
    case StmtKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNext;
}

void Interpreter::run_for(const Stmt& s, const Value& iterable, Scope& scope, StrBuilder& out, int depth0) {
  Depth depth(*this);
  auto* loop = make<Loop>();
  if (s.recursive) {
    loop->node = &s;
    loop->scope = &scope;
    keep(&scope);
  }
  Loop::Accept accept;
  if (s.test) {
    accept = [this, &s, &scope](const Value& v) {
      ScopeGuard inner(*this, &scope);
      assign(*s.target, v, *inner);
      return truthy(eval(*s.test, *inner));
    };
  }
  loop->start(*this, iterable, std::move(accept), depth0);
  // As in jinja2, `else` runs unless some iteration reached the end of the body: `continue` and `break` do
  // not count.
  bool ran = false;
  while (auto v = loop->advance(*this)) {
    ScopeGuard inner(*this, &scope);
    assign(*s.target, std::move(*v), *inner);
    if (loop_symbol_ >= 0) define(*inner, loop_symbol_, Value::object(Kind::kLoop, loop));
    Flow flow = run(s.body, *inner, out);
    if (flow == Flow::kBreak) break;
    ran = ran || flow == Flow::kNext;
  }
  if (!ran && !s.orelse.empty()) {
    ScopeGuard inner(*this, &scope);
    run(s.orelse, *inner, out);
  }
}

Value Interpreter::capture(const Block& block, Scope& parent) {
  ScopeGuard inner(*this, &parent);
  StrBuilder text(*this);
  run(block, *inner, text);
  return Value::string(text.finish());
}

void Interpreter::run_set_block(const Stmt& s, Scope& scope) {
  Value text = capture(s.body, scope);
  if (s.expr) text = eval_filter(*s.expr, scope, &text);
  assign(*s.target, std::move(text), scope);
}

void Interpreter::define_macro(const Stmt& s, Scope& scope) {
  keep(&scope);
  auto* macro = make<Macro>();
  macro->node = &s;
  macro->scope = &scope;
  define(scope, s.symbol, Value::object(Kind::kMacro, macro));
}

void Interpreter::assign(const Expr& target, Value value, Scope& scope) {
  if (target.kind == ExprKind::kName) {
    define(scope, target.symbol, std::move(value));
  } else if (target.kind == ExprKind::kAttribute) {
    Value ns = eval_name(*target.items[0], scope);
    if (!ns.is(Kind::kNamespace)) type_error("cannot assign attribute on non-namespace object");
    if (target.name[0] == '_') type_error("namespace attributes can not begin with '_'");
    ns.dict().set(*this, Value::string(target.name), std::move(value));
  } else {
    std::vector<Value> items = elements(*this, value);
    if (items.size() != target.items.size()) {
      type_error("expected {} values to unpack, got {}", target.items.size(), items.size());
    }
    for (size_t i = 0; i < items.size(); ++i) assign(*target.items[i], std::move(items[i]), scope);
  }
}

Value Interpreter::eval(const Expr& e, Scope& scope) {
  Depth depth(*this);
  step();
  line = e.line;
  switch (e.kind) {
    case ExprKind::kConst:
      return e.value;
    case ExprKind::kName:
      return eval_name(e, scope);
    case ExprKind::kTuple:
      return new_tuple(eval_items(e, scope));
    case ExprKind::kList:
      return new_list(eval_items(e, scope));
    case ExprKind::kDict:
      return eval_dict(e, scope);
    case ExprKind::kConcat: {
      StrBuilder text(*this);
      for (const auto& item : e.items) append_str(*this, text, eval(*item, scope));
      return Value::string(text.finish());
    }
    case ExprKind::kBinary: {
      Value a = eval(*e.items[0], scope);
      Value b = eval(*e.items[1], scope);
      line = e.line;
      return binary(*this, e.op, a, b);
    }
    case ExprKind::kCompare:
      return eval_compare(e, scope);
    case ExprKind::kAnd: {
      Value a = eval(*e.items[0], scope);
      return truthy(a) ? eval(*e.items[1], scope) : a;
    }
    case ExprKind::kOr: {
      Value a = eval(*e.items[0], scope);
      return truthy(a) ? a : eval(*e.items[1], scope);
    }
    case ExprKind::kNot:
      return Value::boolean(!truthy(eval(*e.items[0], scope)));
    case ExprKind::kNegate:
      return negate(*this, eval(*e.items[0], scope));
    case ExprKind::kPositive:
      return positive(*this, eval(*e.items[0], scope));
    case ExprKind::kCondition:
      if (truthy(eval(*e.items[0], scope))) return eval(*e.items[1], scope);
      if (e.items.size() > 2) return eval(*e.items[2], scope);
      return Value::undefined("the inline if-expression evaluated to false and no else section was defined");
    case ExprKind::kAttribute: {
      Value v = eval(*e.items[0], scope);
      line = e.line;
      return get_attribute(*this, v, e.name);
    }
    case ExprKind::kItem: {
      Value v = eval(*e.items[0], scope);
      Value key = eval(*e.items[1], scope);
      line = e.line;
      return get_item(*this, v, key);
    }
    case ExprKind::kSlice: {
      std::vector<Value> parts = eval_items(e, scope);
      line = e.line;
      return get_slice(*this, parts[0], parts[1], parts[2], parts[3]);
    }
    case ExprKind::kCall:
      return eval_call(e, scope);
    case ExprKind::kFilter:
      return eval_filter(e, scope, nullptr);
    case ExprKind::kTest: {
      Value v = eval(*e.items[0], scope);
      Args args = eval_args(e, scope);
      line = e.line;
      return Value::boolean(apply_test(e.name, v, std::move(args)));
    }
  }
  return {};
}

Value Interpreter::eval_name(const Expr& e, Scope& scope) {
  for (const Scope* s = &scope; s; s = s->parent) {
    for (const auto& [symbol, value] : s->variables) {
      if (symbol == e.symbol) return value;
    }
  }
  const Value& global = globals_[static_cast<size_t>(e.symbol)];
  if (!global.is(Kind::kUndefined)) return global;
  return Value::undefined(fmt::format("'{}' is undefined", e.name));
}

std::vector<Value> Interpreter::eval_items(const Expr& e, Scope& scope, size_t first) {
  std::vector<Value> items;
  items.reserve(e.items.size());
  for (size_t i = first; i < e.items.size(); ++i) items.push_back(eval(*e.items[i], scope));
  return items;
}

Value Interpreter::eval_dict(const Expr& e, Scope& scope) {
  Value dict = new_dict();
  for (size_t i = 0; i < e.items.size(); i += 2) {
    Value key = eval(*e.items[i], scope);
    dict.dict().set(*this, key, eval(*e.items[i + 1], scope));
  }
  return dict;
}

Value Interpreter::eval_compare(const Expr& e, Scope& scope) {
  Value left = eval(*e.items[0], scope);
  for (size_t i = 0; i < e.compare_ops.size(); ++i) {
    Value right = eval(*e.items[i + 1], scope);
    line = e.line;
    if (!compare(*this, e.compare_ops[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

Args Interpreter::eval_args(const Expr& e, Scope& scope) {
  Args args;
  args.positional = eval_items(e, scope, 1);
  for (const auto& [name, value] : e.named) args.named.emplace_back(name, eval(*value, scope));
  return args;
}

Value Interpreter::eval_call(const Expr& e, Scope& scope) {
  const Expr& callee = *e.items[0];
  if (callee.kind == ExprKind::kAttribute) {
    // A method is called in place: no bound-method object for each of a long conversation's `.get(…)`.
    Value self = eval(*callee.items[0], scope);
    line = callee.line;
    const Named<MethodFn>* method =
        self.is_string() ? find_str_method(callee.name) : find_container_method(self, callee.name);
    if (method) {
      Args args = eval_args(e, scope);
      line = e.line;
      return method->fn(*this, self, args);
    }
    Value function = get_attribute(*this, self, callee.name);
    Args args = eval_args(e, scope);
    line = e.line;
    return call(function, std::move(args));
  }
  Value function = eval(callee, scope);
  Args args = eval_args(e, scope);
  line = e.line;
  return call(function, std::move(args));
}

Value Interpreter::eval_filter(const Expr& e, Scope& scope, const Value* body) {
  Depth depth(*this);
  const Expr* operand = e.items[0].get();
  Value v;
  if (!operand) {
    v = *body;
  } else if (body && operand->kind == ExprKind::kFilter) {
    v = eval_filter(*operand, scope, body);
  } else {
    v = eval(*operand, scope);
  }
  Args args = eval_args(e, scope);
  line = e.line;
  return apply_filter(e.name, v, std::move(args));
}

Value Interpreter::apply_filter(const std::string& name, const Value& value, Args args) {
  step();
  MethodFn fn = find_filter(name);
  if (!fn) raise(ErrorCode::kUnsupported, fmt::format("there is no filter named '{}'", name));
  return fn(*this, value, args);
}

bool Interpreter::apply_test(const std::string& name, const Value& value, Args args) {
  step();
  TestFn fn = find_test(name);
  if (!fn) raise(ErrorCode::kUnsupported, fmt::format("there is no test named '{}'", name));
  return fn(*this, value, args);
}

Value Interpreter::call(const Value& callee, Args args) {
  switch (callee.kind) {
    case Kind::kFunction:
      return static_cast<Function*>(callee.as.object)->fn(*this, args);
    case Kind::kMethod: {
      auto* method = static_cast<Method*>(callee.as.object);
      return method->fn(*this, method->self, args);
    }
    case Kind::kMacro:
      return call_macro(*static_cast<Macro*>(callee.as.object), std::move(args));
    case Kind::kLoop: {
      auto* loop = static_cast<Loop*>(callee.as.object);
      if (!loop->node) type_error("the loop must have the 'recursive' marker to be called recursively");
      Params params(*this, "loop", args, {"iterable"}, 1);
      StrBuilder text(*this);
      run_for(*loop->node, params[0], *loop->scope, text, loop->depth0() + 1);
      return Value::string(text.finish());
    }
    case Kind::kUndefined:
      undefined_error(*this, callee);
    default:
      type_error("'{}' object is not callable", type_name(callee));
  }
}

Value Interpreter::call_macro(const Macro& macro, Args args) {
  Depth depth(*this);
  step();
  const Stmt& s = *macro.node;
  ScopeGuard inner(*this, macro.scope);
  size_t count = args.positional.size();
  if (count > s.params.size() && !s.wants_varargs) {
    type_error("macro '{}' takes not more than {} argument(s)", s.text->text, s.params.size());
  }
  std::vector<bool> missing(s.params.size());
  for (size_t i = 0; i < s.params.size(); ++i) {
    const Param& p = s.params[i];
    if (i < count) {
      define(*inner, p.symbol, std::move(args.positional[i]));
      continue;
    }
    auto named =
        std::find_if(args.named.begin(), args.named.end(), [&](const auto& a) { return a.first == p.name; });
    if (named != args.named.end()) {
      define(*inner, p.symbol, std::move(named->second));
      args.named.erase(named);
    } else {
      missing[i] = true;
    }
  }
  if (!args.named.empty() && !s.wants_kwargs) {
    type_error("macro '{}' takes no keyword argument '{}'", s.text->text, args.named[0].first);
  }
  for (size_t i = 0; i < s.params.size(); ++i) {
    const Param& p = s.params[i];
    if (!missing[i]) continue;
    define(*inner, p.symbol,
           p.value ? eval(*p.value, *inner)
                   : Value::undefined(fmt::format("parameter '{}' was not provided", p.name)));
  }
  if (s.wants_varargs) {
    std::vector<Value> extra;
    for (size_t i = s.params.size(); i < count; ++i) extra.push_back(std::move(args.positional[i]));
    define(*inner, varargs_symbol_, new_tuple(std::move(extra)));
  }
  if (s.wants_kwargs) {
    Value kwargs = new_dict();
    for (auto& [name, value] : args.named) kwargs.dict().set(*this, Value::string(name), std::move(value));
    define(*inner, kwargs_symbol_, kwargs);
  }
  StrBuilder text(*this);
  run(s.body, *inner, text);
  return Value::string(text.finish());
}

}  // namespace turgo::jinja
