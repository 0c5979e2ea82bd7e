// Filters over single values: default, numbers, attr, from_json.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/json.h"
#include "text/jinja/builtins.h"
#include "text/jinja/from_json.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

namespace {

Value default_filter(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "default", args, {"default_value", "boolean"});
  if (!v.is(Kind::kUndefined) && !(p.flag(1, false) && !truthy(v))) return v;
  return p.has(0) ? p[0] : Value::string(std::string());
}

Value truncated(Runtime& rt, double d, bool input) {
  if (std::abs(d) >= 0x1p126) rt.type_error("integer overflow");
  return Value::integer(static_cast<Int>(d), input);
}

Value int_filter(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "int", args, {"default", "base"});
  Value otherwise = p.has(0) ? p[0] : Value::integer(0);
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (v.is_integral()) return Value::integer(v.to_int(), v.input);
  if (v.is(Kind::kFloat)) {
    if (std::isnan(v.as.number)) return otherwise;
    if (std::isinf(v.as.number)) rt.type_error("cannot convert float infinity to integer");
    return truncated(rt, v.as.number, v.input);
  }
  if (!v.is_string()) return otherwise;
  bool input = v.str->any_input();
  if (auto i = parse_int(rt, v.str->text, static_cast<int>(std::clamp<int64_t>(p.integer(1, 10), -1, 99)))) {
    return Value::integer(*i, input);
  }
  auto d = parse_float(v.str->text);
  return d && std::isfinite(*d) ? truncated(rt, *d, input) : otherwise;
}

Value float_filter(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "float", args, {"default"});
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (v.is_number()) return Value::number(v.to_double(), v.input);
  if (v.is_string()) {
    if (auto d = parse_float(v.str->text)) return Value::number(*d, v.str->any_input());
  }
  return p.has(0) ? p[0] : Value::number(0.0);
}

Value abs_filter(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "abs", args);
  if (v.is_integral()) return v.to_int() < 0 ? negate(rt, v) : Value::integer(v.to_int(), v.input);
  if (v.is(Kind::kFloat)) return Value::number(std::abs(v.as.number), v.input);
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  rt.type_error("bad operand type for abs(): '{}'", type_name(v));
}

// round(x, n) on the exact binary value, halves to even.
double rounded(double x, int64_t precision) {
  if (!std::isfinite(x) || precision > 320) return x;
  if (precision >= 0) {
    char buffer[700];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(precision), x);
    return std::strtod(buffer, nullptr);
  }
  if (precision < -308) return std::copysign(0.0, x);
  double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(x / scale) * scale;
}

Value round_filter(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "round", args, {"precision", "method"});
  std::string method = p.has(1) ? p.text(1)->text : "common";
  if (method != "common" && method != "ceil" && method != "floor") {
    rt.type_error("method must be common, ceil or floor");
  }
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (!v.is_number()) rt.type_error("type {} doesn't define __round__ method", type_name(v));
  int64_t precision = p.integer(0, 0);
  if (method == "common") {
    if (!v.is_integral()) return Value::number(rounded(v.as.number, precision), v.input);
    if (precision >= 0) return Value::integer(v.to_int(), v.input);
    if (precision < -37) return Value::integer(0, v.input);
    Int scale = 1;
    for (int64_t i = 0; i > precision; --i) scale *= 10;
    Int quotient = v.to_int() / scale;
    Int rest = v.to_int() % scale;
    Int twice = rest < 0 ? -rest * 2 : rest * 2;
    if (twice > scale || (twice == scale && quotient % 2 != 0)) quotient += rest < 0 ? -1 : 1;
    return Value::integer(quotient * scale, v.input);
  }
  double scale = std::pow(10.0, static_cast<double>(precision));
  double scaled = v.to_double() * scale;
  return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale, v.input);
}

Value attr(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "attr", args, {"name"}, 1);
  StrRef name = p.text(0);
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (name->text.empty() || name->text[0] != '_') {
    if (auto member = find_member(rt, v, name->text)) return *member;
  }
  return Value::undefined(fmt::format("'{} object' has no attribute '{}'", type_name(v), name->text));
}

Value from_json_filter(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "from_json", args);
  if (!v.is_string()) rt.type_error("from_json needs a string, got {}", type_name(v));
  rt.step(v.str->text.size() / 16);
  return from_json(rt, parse_json(v.str->text, "from_json in a chat template"), v.str->any_input());
}

constexpr Named<MethodFn> kFilters[] = {
    {"default", default_filter},
    {"d", default_filter},
    {"int", int_filter},
    {"float", float_filter},
    {"abs", abs_filter},
    {"round", round_filter},
    {"attr", attr},
    {"from_json", from_json_filter},
};

}  // namespace

MethodFn find_value_filter(std::string_view name) {
  const auto* entry = find_named(kFilters, name);
  return entry ? entry->fn : nullptr;
}

}  // namespace turgo::jinja
