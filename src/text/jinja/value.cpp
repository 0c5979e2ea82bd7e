#include "text/jinja/value.h"

#include <functional>

#include "text/jinja/operators.h"
#include "text/jinja/runtime.h"

namespace turgo::jinja {

namespace {

constexpr size_t kSmallDict = 8;  // entries up to which a scan beats hashing
constexpr size_t kNotFound = static_cast<size_t>(-1);

}  // namespace

Value Value::boolean(bool b) {
  Value v = of(Kind::kBool);
  v.as.boolean = b;
  return v;
}

Value Value::integer(Int i, bool from_input) {
  Value v = of(Kind::kInt);
  v.as.integer = i;
  v.input = from_input;
  return v;
}

Value Value::number(double d, bool from_input) {
  Value v = of(Kind::kFloat);
  v.as.number = d;
  v.input = from_input;
  return v;
}

Value Value::string(StrRef s) {
  Value v = of(Kind::kString);
  v.str = std::move(s);
  return v;
}

Value Value::undefined(std::string message) {
  Value v;
  v.str = constant_str(std::move(message));
  return v;
}

Value Value::object(Kind kind, Object* object) {
  Value v = of(kind);
  v.as.object = object;
  return v;
}

double Value::to_double() const {
  return kind == Kind::kFloat ? as.number : static_cast<double>(to_int());
}

List& Value::list() const {
  return *static_cast<List*>(as.object);
}
Dict& Value::dict() const {
  return *static_cast<Dict*>(as.object);
}
Range& Value::range() const {
  return *static_cast<Range*>(as.object);
}
Iterator& Value::iterator() const {
  return *static_cast<Iterator*>(as.object);
}
DictView& Value::view() const {
  return *static_cast<DictView*>(as.object);
}

size_t Dict::position(Runtime* runtime, const Value& key, std::string_view text, bool by_text) const {
  auto matches = [&](const Value& other) {
    if (by_text) return other.is_string() && other.str->text == text;
    return equals(*runtime, other, key);
  };
  if (index.empty()) {
    for (size_t i = 0; i < entries.size(); ++i) {
      if (matches(entries[i].first)) return i;
    }
    return kNotFound;
  }
  size_t hash = by_text ? std::hash<std::string_view>{}(text) : hash_value(*runtime, key);
  auto [first, last] = index.equal_range(hash);
  for (; first != last; ++first) {
    if (matches(entries[first->second].first)) return first->second;
  }
  return kNotFound;
}

const Value* Dict::find(std::string_view key) const {
  size_t i = position(nullptr, {}, key, true);
  return i == kNotFound ? nullptr : &entries[i].second;
}

const Value* Dict::find(Runtime& runtime, const Value& key) const {
  hash_value(runtime, key);  // raises for what Python can not hash, also in a small dict
  size_t i =
      key.is_string() ? position(nullptr, {}, key.str->text, true) : position(&runtime, key, {}, false);
  return i == kNotFound ? nullptr : &entries[i].second;
}

void Dict::set(Runtime& runtime, const Value& key, Value value) {
  size_t hash = hash_value(runtime, key);
  size_t i = position(&runtime, key, {}, false);
  if (i != kNotFound) {
    entries[i].second = std::move(value);
    return;
  }
  runtime.grow(2 * sizeof(Value) + 2 * sizeof(size_t));
  entries.emplace_back(key, std::move(value));
  if (!index.empty()) {
    index.emplace(hash, entries.size() - 1);
  } else if (entries.size() > kSmallDict) {
    for (size_t k = 0; k < entries.size(); ++k) index.emplace(hash_value(runtime, entries[k].first), k);
  }
}

bool Dict::erase(Runtime& runtime, const Value& key) {
  size_t i = position(&runtime, key, {}, false);
  if (i == kNotFound) return false;
  runtime.step(entries.size());
  entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(i));
  index.clear();
  if (entries.size() > kSmallDict) {
    for (size_t k = 0; k < entries.size(); ++k) index.emplace(hash_value(runtime, entries[k].first), k);
  }
  return true;
}

const char* type_name(const Value& v) {
  switch (v.kind) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return v.str->markup ? "Markup" : "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kRange:
      return "range";
    case Kind::kIterator:
      return v.iterator().type_name;
    case Kind::kDictView: {
      static constexpr const char* kNames[] = {"dict_keys", "dict_values", "dict_items"};
      return kNames[v.view().part];
    }
    case Kind::kMacro:
      return "Macro";
    case Kind::kFunction:
      return "function";
    case Kind::kMethod:
      return "builtin_function_or_method";
    case Kind::kLoop:
      return "LoopContext";
  }
  return "object";
}

}  // namespace turgo::jinja
