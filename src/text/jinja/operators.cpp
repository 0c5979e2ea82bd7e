#include "text/jinja/operators.h"

#include <cmath>
#include <functional>

#include "text/jinja/builtins.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"

namespace turgo::jinja {

void undefined_error(const Runtime& rt, const Value& v) {
  rt.raise(ErrorCode::kInvalidArgument, v.str ? v.str->text : std::string("undefined value"));
}

bool truthy(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return v.as.boolean;
    case Kind::kInt:
      return v.as.integer != 0;
    case Kind::kFloat:
      return v.as.number != 0;
    case Kind::kIterator:
      return true;
    default: {
      auto n = length_of(v);
      return !n || *n != 0;
    }
  }
}

namespace {

bool equal_dicts(Runtime& rt, const Dict& a, const Dict& b, int depth) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(rt, key);
    if (!other || !equals(rt, value, *other, depth + 1)) return false;
  }
  return true;
}

Value iterator_item(const DictView& view, Runtime& rt, size_t i) {
  const auto& [key, value] = view.dict->entries[i];
  if (view.part == DictView::kKeys) return key;
  if (view.part == DictView::kValues) return value;
  return rt.new_tuple({key, value});
}

}  // namespace

bool equals(Runtime& rt, const Value& a, const Value& b, int depth) {
  rt.step();
  rt.check_value_depth(depth);
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.to_int() == b.to_int();
    return a.to_double() == b.to_double();
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      rt.step(a.str->text.size() / 256);
      return a.str->text == b.str->text;
    case Kind::kList:
    case Kind::kTuple: {
      if (a.as.object == b.as.object) return true;
      const auto& x = a.list().items;
      const auto& y = b.list().items;
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); ++i) {
        if (!equals(rt, x[i], y[i], depth + 1)) return false;
      }
      return true;
    }
    case Kind::kDict:
      return a.as.object == b.as.object || equal_dicts(rt, a.dict(), b.dict(), depth);
    case Kind::kRange: {
      const Range& x = a.range();
      const Range& y = b.range();
      return x.size == y.size && (x.size == 0 || (x.start == y.start && (x.size == 1 || x.step == y.step)));
    }
    default:
      return a.as.object == b.as.object;
  }
}

bool less(Runtime& rt, const Value& a, const Value& b, const char* op, int depth) {
  rt.step();
  rt.check_value_depth(depth);
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.to_int() < b.to_int();
    return a.to_double() < b.to_double();
  }
  if (a.is_string() && b.is_string()) {
    rt.step(std::min(a.str->text.size(), b.str->text.size()) / 256);
    return a.str->text < b.str->text;  // UTF-8 orders as code points do
  }
  if (a.kind == b.kind && a.is_sequence()) {
    const auto& x = a.list().items;
    const auto& y = b.list().items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equals(rt, x[i], y[i], depth + 1)) return less(rt, x[i], y[i], op, depth + 1);
    }
    return x.size() < y.size();
  }
  if (a.is(Kind::kUndefined)) undefined_error(rt, a);
  if (b.is(Kind::kUndefined)) undefined_error(rt, b);
  rt.type_error("'{}' not supported between instances of '{}' and '{}'", op, type_name(a), type_name(b));
}

size_t hash_value(Runtime& rt, const Value& v, int depth) {
  rt.check_value_depth(depth);
  switch (v.kind) {
    case Kind::kNone:
      return 0x9E3779B9;
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
      return std::hash<double>{}(v.to_double());
    case Kind::kString:
      rt.step(v.str->text.size() / 256);
      return std::hash<std::string_view>{}(v.str->text);
    case Kind::kTuple: {
      size_t hash = 1;
      for (const Value& item : v.list().items) {
        rt.step();
        hash = hash * 1000003 + hash_value(rt, item, depth + 1);
      }
      return hash;
    }
    case Kind::kList:
    case Kind::kDict:
      rt.type_error("unhashable type: '{}'", type_name(v));
    case Kind::kUndefined:
      return 1;
    default:
      return std::hash<const void*>{}(v.as.object);
  }
}

bool compare(Runtime& rt, CompareOp op, const Value& a, const Value& b) {
  auto not_after = [&](const Value& x, const Value& y, const char* name) {
    if (x.is_number() && y.is_number()) {  // NaN: neither less nor equal
      if (x.is_integral() && y.is_integral()) return x.to_int() <= y.to_int();
      return x.to_double() <= y.to_double();
    }
    return !less(rt, y, x, name);
  };
  switch (op) {
    case CompareOp::kEq:
      return equals(rt, a, b);
    case CompareOp::kNe:
      return !equals(rt, a, b);
    case CompareOp::kLt:
      return less(rt, a, b, "<");
    case CompareOp::kGt:
      return less(rt, b, a, ">");
    case CompareOp::kLe:
      return not_after(a, b, "<=");
    case CompareOp::kGe:
      return not_after(b, a, ">=");
    case CompareOp::kIn:
      return contains(rt, b, a);
    case CompareOp::kNotIn:
      return !contains(rt, b, a);
  }
  return false;
}

bool contains(Runtime& rt, const Value& container, const Value& item) {
  switch (container.kind) {
    case Kind::kString:
      if (!item.is_string()) {
        rt.type_error("'in <string>' requires string as left operand, not {}", type_name(item));
      }
      rt.step(container.str->text.size() / 256);
      return container.str->text.find(item.str->text) != std::string::npos;
    case Kind::kDict:
      return container.dict().find(rt, item) != nullptr;
    case Kind::kRange: {
      if (!item.is_number()) return false;
      const Range& range = container.range();
      double d = item.to_double();
      if (range.size == 0 || d != std::floor(d)) return false;
      Int offset = (item.is_integral() ? item.to_int() : static_cast<Int>(d)) - range.start;
      return offset % range.step == 0 && offset / range.step >= 0 && offset / range.step < range.size;
    }
    case Kind::kDictView:
      if (container.view().part == DictView::kKeys) return container.view().dict->find(rt, item) != nullptr;
      [[fallthrough]];
    default:
      break;
  }
  if (!iterable(container)) rt.type_error("argument of type '{}' is not iterable", type_name(container));
  for (const Value& v : elements(rt, container)) {
    if (equals(rt, v, item)) return true;
  }
  return false;
}

std::optional<int64_t> length_of(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return static_cast<int64_t>(v.str->length());
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(v.list().items.size());
    case Kind::kDict:
      return static_cast<int64_t>(v.dict().entries.size());
    case Kind::kRange:
      return v.range().size;
    case Kind::kDictView:
      return static_cast<int64_t>(v.view().dict->entries.size());
    default:
      return std::nullopt;
  }
}

bool iterable(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
    case Kind::kRange:
    case Kind::kIterator:
    case Kind::kDictView:
      return true;
    default:
      return false;
  }
}

std::vector<Value> elements(Runtime& rt, const Value& v) {
  std::vector<Value> out;
  auto n = length_of(v);
  if (n) {
    rt.step(static_cast<size_t>(*n));
    out.reserve(static_cast<size_t>(*n));
  }
  switch (v.kind) {
    case Kind::kUndefined:
      break;
    case Kind::kString: {
      const Str& s = *v.str;
      for (size_t at = 0; at < s.text.size();) {
        size_t size = Utf8::size_at(s.text, at);
        StrBuilder builder(rt);
        builder.add(s, at, at + size);
        out.push_back(Value::string(builder.finish()));
        at += size;
      }
      break;
    }
    case Kind::kList:
    case Kind::kTuple:
      out = v.list().items;
      break;
    case Kind::kDict:
      for (const auto& entry : v.dict().entries) out.push_back(entry.first);
      break;
    case Kind::kRange:
      for (int64_t i = 0; i < v.range().size; ++i) out.push_back(v.range().at(i));
      break;
    case Kind::kIterator: {
      Iterator& it = v.iterator();
      rt.step(it.items.size() - it.next);
      for (; it.next < it.items.size(); ++it.next) out.push_back(std::move(it.items[it.next]));
      break;
    }
    case Kind::kDictView:
      for (size_t i = 0; i < v.view().dict->entries.size(); ++i)
        out.push_back(iterator_item(v.view(), rt, i));
      break;
    default:
      rt.type_error("'{}' object is not iterable", type_name(v));
  }
  return out;
}

int64_t to_index(Runtime& rt, const Value& v, const char* what) {
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (!v.is_integral()) rt.type_error("{} must be an integer, not {}", what, type_name(v));
  Int i = v.to_int();
  if (i > INT64_MAX || i < INT64_MIN) rt.type_error("{} does not fit 64 bits", what);
  return static_cast<int64_t>(i);
}

namespace {

Value code_point(Runtime& rt, const Str& s, int64_t i) {
  rt.step(s.ascii ? 0 : s.text.size() / 256);
  size_t begin = byte_offset(s, static_cast<size_t>(i));
  StrBuilder builder(rt);
  builder.add(s, begin, begin + Utf8::size_at(s.text, begin));
  return Value::string(builder.finish(s.markup));
}

// The element at v[key], or nothing where Python raises TypeError, IndexError or KeyError.
std::optional<Value> subscript(Runtime& rt, const Value& v, const Value& key) {
  if (v.is(Kind::kDict)) {
    if (key.is(Kind::kList) || key.is(Kind::kDict)) return std::nullopt;
    const Value* found = v.dict().find(rt, key);
    return found ? std::optional(*found) : std::nullopt;
  }
  if (!key.is_integral() || !(v.is_sequence() || v.is_string() || v.is(Kind::kRange))) return std::nullopt;
  int64_t size = *length_of(v);
  Int i = key.to_int();
  if (i < 0) i += size;
  if (i < 0 || i >= size) return std::nullopt;
  auto at = static_cast<int64_t>(i);
  if (v.is_string()) return code_point(rt, *v.str, at);
  if (v.is(Kind::kRange)) return v.range().at(at);
  return v.list().items[static_cast<size_t>(at)];
}

Value missing(Runtime& rt, const Value& v, const Value& key) {
  std::string name = repr_text(rt, key);
  if (v.is(Kind::kNone)) return Value::undefined(fmt::format("'None' has no attribute {}", name));
  if (key.is_string()) {
    return Value::undefined(fmt::format("'{} object' has no attribute {}", type_name(v), name));
  }
  return Value::undefined(fmt::format("{} object has no element {}", type_name(v), name));
}

}  // namespace

Value get_attribute(Runtime& rt, const Value& v, std::string_view name) {
  rt.step();
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (name.empty() || name[0] != '_') {
    if (auto member = find_member(rt, v, name)) return *member;
  }
  if (v.is(Kind::kDict)) {
    if (const Value* found = v.dict().find(name)) return *found;
  }
  return missing(rt, v, Value::string(std::string(name)));
}

Value get_item(Runtime& rt, const Value& v, const Value& key) {
  rt.step();
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (auto found = subscript(rt, v, key)) return *found;
  if (key.is_string() && (key.str->text.empty() || key.str->text[0] != '_')) {
    if (auto member = find_member(rt, v, key.str->text)) return *member;
  }
  return missing(rt, v, key);
}

Value get_slice(Runtime& rt, const Value& v, const Value& start, const Value& stop, const Value& step) {
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (!(v.is_sequence() || v.is_string() || v.is(Kind::kRange))) {
    rt.type_error("'{}' object is not subscriptable", type_name(v));
  }
  int64_t n = *length_of(v);
  auto bound = [&](const Value& x, int64_t absent, int64_t low, int64_t high) {
    if (x.is(Kind::kNone)) return absent;
    if (x.is(Kind::kUndefined)) undefined_error(rt, x);
    if (!x.is_integral()) rt.type_error("slice indices must be integers or None");
    Int i = x.to_int();
    if (i < 0) i += n;
    return static_cast<int64_t>(i < low ? Int{low} : i > high ? Int{high} : i);
  };
  int64_t stride = 1;
  if (!step.is(Kind::kNone)) {
    if (!step.is_integral()) rt.type_error("slice indices must be integers or None");
    Int s = step.to_int();
    if (s == 0) rt.type_error("slice step cannot be zero");
    stride = static_cast<int64_t>(s > n + 1 ? Int{n + 1} : s < -(n + 1) ? Int{-(n + 1)} : s);
  }
  int64_t first = stride > 0 ? bound(start, 0, 0, n) : bound(start, n - 1, -1, n - 1);
  int64_t last = stride > 0 ? bound(stop, n, 0, n) : bound(stop, -1, -1, n - 1);
  int64_t size = 0;
  if (stride > 0 && first < last) size = (last - first + stride - 1) / stride;
  if (stride < 0 && last < first) size = (first - last - stride - 1) / -stride;

  rt.step(static_cast<size_t>(size) / 16);
  if (v.is(Kind::kRange)) {
    auto* range = rt.make<Range>();
    const Range& source = v.range();
    *range = source;
    range->start = source.start + first * source.step;
    range->step = source.step * stride;
    range->size = size;
    range->stop = source.start + (stride > 0 ? std::max(first, last) : last) * source.step;
    return Value::object(Kind::kRange, range);
  }
  if (v.is_string()) {
    const Str& s = *v.str;
    StrBuilder builder(rt);
    if (stride == 1) {
      rt.step(s.ascii ? 0 : s.text.size() / 256);
      size_t begin = byte_offset(s, static_cast<size_t>(first));
      size_t end = size > 0 ? byte_offset(s, static_cast<size_t>(last)) : begin;
      builder.add(s, begin, end);
    } else if (size > 0) {
      std::vector<size_t> offsets;  // of every code point
      rt.step(s.text.size() / 16);
      for (size_t at = 0; at < s.text.size(); at += Utf8::size_at(s.text, at)) offsets.push_back(at);
      for (int64_t k = 0, at = first; k < size; ++k, at += stride) {
        size_t begin = offsets[static_cast<size_t>(at)];
        builder.add(s, begin, begin + Utf8::size_at(s.text, begin));
      }
    }
    return Value::string(builder.finish(s.markup));
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(size));
  const auto& source = v.list().items;
  for (int64_t k = 0, at = first; k < size; ++k, at += stride)
    items.push_back(source[static_cast<size_t>(at)]);
  return v.is(Kind::kTuple) ? rt.new_tuple(std::move(items)) : rt.new_list(std::move(items));
}

}  // namespace turgo::jinja
