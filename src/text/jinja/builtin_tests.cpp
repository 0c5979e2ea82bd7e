// The tests of `x is name(args)`.
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

namespace {

template <Kind kind>
bool is_kind(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "test", args);
  return v.is(kind);
}

bool is_defined(Runtime&, const Value& v, Args&) {
  return !v.is(Kind::kUndefined);
}
bool is_true(Runtime&, const Value& v, Args&) {
  return v.is(Kind::kBool) && v.as.boolean;
}
bool is_false(Runtime&, const Value& v, Args&) {
  return v.is(Kind::kBool) && !v.as.boolean;
}
bool is_integer(Runtime&, const Value& v, Args&) {
  return v.is(Kind::kInt);
}
bool is_number(Runtime&, const Value& v, Args&) {
  return v.is_number();
}
bool is_iterable(Runtime&, const Value& v, Args&) {
  return iterable(v) || v.is(Kind::kLoop);
}
bool is_callable(Runtime&, const Value& v, Args&) {
  return callable(v);
}
bool is_escaped(Runtime&, const Value& v, Args&) {
  return v.is_string() && v.str->markup;
}
bool is_upper(Runtime& rt, const Value& v, Args&) {
  return is_upper_text(*to_str(rt, v));
}
bool is_lower(Runtime& rt, const Value& v, Args&) {
  return is_lower_text(*to_str(rt, v));
}
bool is_filter(Runtime&, const Value& v, Args&) {
  return v.is_string() && find_filter(v.str->text) != nullptr;
}
bool is_test(Runtime&, const Value& v, Args&) {
  return v.is_string() && find_test(v.str->text) != nullptr;
}

bool is_sequence(Runtime&, const Value& v, Args&) {
  return v.is(Kind::kUndefined) || v.is_string() || v.is_sequence() || v.is(Kind::kDict) ||
         v.is(Kind::kRange);
}

bool is_odd(Runtime& rt, const Value& v, Args&) {
  return equals(rt, binary(rt, BinaryOp::kMod, v, Value::integer(2)), Value::integer(1));
}
bool is_even(Runtime& rt, const Value& v, Args&) {
  return equals(rt, binary(rt, BinaryOp::kMod, v, Value::integer(2)), Value::integer(0));
}
bool is_divisible_by(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "divisibleby", args, {"num"}, 1);
  return equals(rt, binary(rt, BinaryOp::kMod, v, p[0]), Value::integer(0));
}

bool is_same_as(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "sameas", args, {"other"}, 1);
  const Value& other = p[0];
  if (v.kind != other.kind) return false;
  switch (v.kind) {
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return v.as.boolean == other.as.boolean;
    case Kind::kUndefined:
      return false;
    case Kind::kInt:  // CPython keeps one object for each small integer
      return v.as.integer == other.as.integer && v.as.integer >= -5 && v.as.integer <= 256;
    case Kind::kFloat:
      return false;
    case Kind::kString:
      return v.str == other.str;
    default:
      return v.as.object == other.as.object;
  }
}

template <CompareOp op>
bool compares(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "comparison", args, {"other"}, 1);
  return compare(rt, op, v, p[0]);
}

constexpr Named<TestFn> kTests[] = {
    {"defined", is_defined},
    {"string", is_kind<Kind::kString>},
    {"none", is_kind<Kind::kNone>},
    {"mapping", is_kind<Kind::kDict>},
    {"iterable", is_iterable},
    {"sequence", is_sequence},
    {"undefined", is_kind<Kind::kUndefined>},
    {"boolean", is_kind<Kind::kBool>},
    {"true", is_true},
    {"false", is_false},
    {"number", is_number},
    {"integer", is_integer},
    {"float", is_kind<Kind::kFloat>},
    {"callable", is_callable},
    {"upper", is_upper},
    {"lower", is_lower},
    {"odd", is_odd},
    {"even", is_even},
    {"divisibleby", is_divisible_by},
    {"sameas", is_same_as},
    {"escaped", is_escaped},
    {"filter", is_filter},
    {"test", is_test},
    {"in", compares<CompareOp::kIn>},
    {"==", compares<CompareOp::kEq>},
    {"eq", compares<CompareOp::kEq>},
    {"equalto", compares<CompareOp::kEq>},
    {"!=", compares<CompareOp::kNe>},
    {"ne", compares<CompareOp::kNe>},
    {">", compares<CompareOp::kGt>},
    {"gt", compares<CompareOp::kGt>},
    {"greaterthan", compares<CompareOp::kGt>},
    {">=", compares<CompareOp::kGe>},
    {"ge", compares<CompareOp::kGe>},
    {"<", compares<CompareOp::kLt>},
    {"lt", compares<CompareOp::kLt>},
    {"lessthan", compares<CompareOp::kLt>},
    {"<=", compares<CompareOp::kLe>},
    {"le", compares<CompareOp::kLe>},
};

}  // namespace

TestFn find_test(std::string_view name) {
  const auto* entry = find_named(kTests, name);
  return entry ? entry->fn : nullptr;
}

}  // namespace turgo::jinja
