// + - * / // % ** and unary signs of operators.h, with Python's types, rounding and sign rules.
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"

namespace turgo::jinja {

namespace {

constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void overflow(Runtime& rt) {
  rt.type_error("integer overflow");
}

Int checked_pow(Runtime& rt, Int base, Int exponent) {
  Int result = 1;
  while (exponent > 0) {
    rt.step();
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) overflow(rt);
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) overflow(rt);
  }
  return result;
}

Value integers(Runtime& rt, BinaryOp op, Int a, Int b, bool input) {
  Int r = 0;
  switch (op) {
    case BinaryOp::kAdd:
      if (__builtin_add_overflow(a, b, &r)) overflow(rt);
      return Value::integer(r, input);
    case BinaryOp::kSub:
      if (__builtin_sub_overflow(a, b, &r)) overflow(rt);
      return Value::integer(r, input);
    case BinaryOp::kMul:
      if (__builtin_mul_overflow(a, b, &r)) overflow(rt);
      return Value::integer(r, input);
    case BinaryOp::kDiv:
      if (b == 0) rt.type_error("division by zero");
      return Value::number(static_cast<double>(a) / static_cast<double>(b), input);
    case BinaryOp::kFloorDiv:
    case BinaryOp::kMod: {
      if (b == 0) rt.type_error("integer division or modulo by zero");
      if (b == -1)
        return op == BinaryOp::kMod ? Value::integer(0, input) : integers(rt, BinaryOp::kSub, 0, a, input);
      Int quotient = a / b;
      Int remainder = a % b;
      if (remainder != 0 && (remainder < 0) != (b < 0)) {
        --quotient;
        remainder += b;
      }
      return Value::integer(op == BinaryOp::kMod ? remainder : quotient, input);
    }
    case BinaryOp::kPow:
      if (b >= 0) {
        if (a == 0 || a == 1 || a == -1)
          return Value::integer(b == 0 ? 1 : a == -1 && b % 2 == 0 ? 1 : a, input);
        return Value::integer(checked_pow(rt, a, b), input);
      }
      if (a == 0) rt.type_error("0.0 cannot be raised to a negative power");
      return Value::number(std::pow(static_cast<double>(a), static_cast<double>(b)), input);
  }
  return {};
}

Value floats(Runtime& rt, BinaryOp op, double a, double b, bool input) {
  switch (op) {
    case BinaryOp::kAdd:
      return Value::number(a + b, input);
    case BinaryOp::kSub:
      return Value::number(a - b, input);
    case BinaryOp::kMul:
      return Value::number(a * b, input);
    case BinaryOp::kDiv:
      if (b == 0) rt.type_error("float division by zero");
      return Value::number(a / b, input);
    case BinaryOp::kFloorDiv:
    case BinaryOp::kMod: {
      if (b == 0) rt.type_error("float floor division or modulo by zero");
      double remainder = std::fmod(a, b);
      double quotient = (a - remainder) / b;
      if (remainder != 0) {
        if ((b < 0) != (remainder < 0)) {
          remainder += b;
          quotient -= 1;
        }
      } else {
        remainder = std::copysign(0.0, b);
      }
      if (op == BinaryOp::kMod) return Value::number(remainder, input);
      double floor = quotient == 0 ? std::copysign(0.0, a / b) : std::floor(quotient);
      if (quotient - floor > 0.5) floor += 1;
      return Value::number(floor, input);
    }
    case BinaryOp::kPow: {
      if (a == 0 && b < 0) rt.type_error("0.0 cannot be raised to a negative power");
      double r = std::pow(a, b);
      if (std::isinf(r) && !std::isinf(a) && !std::isinf(b)) rt.type_error("float result out of range");
      if (std::isnan(r) && !std::isnan(a) && !std::isnan(b))
        rt.type_error("complex numbers are not supported");
      return Value::number(r, input);
    }
  }
  return {};
}

Value concat_strings(Runtime& rt, const Value& a, const Value& b) {
  StrBuilder builder(rt);
  bool markup = a.str->markup || b.str->markup;
  for (const Value* side : {&a, &b}) {
    if (markup && !side->str->markup) {
      builder.add(*escape_html(rt, *side->str));
    } else {
      builder.add(*side->str);
    }
  }
  return Value::string(builder.finish(markup));
}

Value repeat(Runtime& rt, const Value& sequence, const Value& times) {
  Int t = times.to_int();
  int64_t count = t < 0 ? 0 : t > INT64_MAX ? INT64_MAX : static_cast<int64_t>(t);
  if (sequence.is_string()) {
    const Str& s = *sequence.str;
    rt.check_repeat(s.text.size(), s.text.empty() ? 0 : count);
    StrBuilder builder(rt);
    for (int64_t i = 0; !s.text.empty() && i < count; ++i) builder.add(s);
    return Value::string(builder.finish(s.markup));
  }
  const auto& items = sequence.list().items;
  std::vector<Value> out;
  if (!items.empty() && count > 0) {
    if (static_cast<size_t>(count) > rt.limits.max_live_bytes / sizeof(Value) / items.size()) {
      rt.out_of(fmt::format("{} bytes of values", rt.limits.max_live_bytes));
    }
    rt.step(items.size() * static_cast<size_t>(count));
    out.reserve(items.size() * static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return sequence.is(Kind::kTuple) ? rt.new_tuple(std::move(out)) : rt.new_list(std::move(out));
}

}  // namespace

Value binary(Runtime& rt, BinaryOp op, const Value& a, const Value& b) {
  rt.step();
  bool input = a.input || b.input;
  if (a.is_integral() && b.is_integral()) return integers(rt, op, a.to_int(), b.to_int(), input);
  if (a.is_number() && b.is_number()) return floats(rt, op, a.to_double(), b.to_double(), input);
  if (op == BinaryOp::kMod && a.is_string()) return format_percent(rt, *a.str, b);
  if (a.is(Kind::kUndefined)) undefined_error(rt, a);
  if (b.is(Kind::kUndefined)) undefined_error(rt, b);
  if (op == BinaryOp::kAdd) {
    if (a.is_string() && b.is_string()) return concat_strings(rt, a, b);
    if (a.kind == b.kind && a.is_sequence()) {
      std::vector<Value> items;
      const auto& x = a.list().items;
      const auto& y = b.list().items;
      rt.step(x.size() + y.size());
      items.reserve(x.size() + y.size());
      items.insert(items.end(), x.begin(), x.end());
      items.insert(items.end(), y.begin(), y.end());
      return a.is(Kind::kTuple) ? rt.new_tuple(std::move(items)) : rt.new_list(std::move(items));
    }
    if (a.is_string()) rt.type_error("can only concatenate str (not \"{}\") to str", type_name(b));
  }
  if (op == BinaryOp::kMul) {
    if ((a.is_string() || a.is_sequence()) && b.is_integral()) return repeat(rt, a, b);
    if ((b.is_string() || b.is_sequence()) && a.is_integral()) return repeat(rt, b, a);
  }
  rt.type_error("unsupported operand type(s) for {}: '{}' and '{}'", kSymbols[static_cast<int>(op)],
                type_name(a), type_name(b));
}

Value negate(Runtime& rt, const Value& v) {
  if (v.is_integral()) return integers(rt, BinaryOp::kSub, 0, v.to_int(), v.input);
  if (v.is(Kind::kFloat)) return Value::number(-v.as.number, v.input);
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  rt.type_error("bad operand type for unary -: '{}'", type_name(v));
}

Value positive(Runtime& rt, const Value& v) {
  if (v.is_integral()) return Value::integer(v.to_int(), v.input);
  if (v.is(Kind::kFloat)) return v;
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  rt.type_error("bad operand type for unary +: '{}'", type_name(v));
}

}  // namespace turgo::jinja
