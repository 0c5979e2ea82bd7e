// Values of the template language, with Python's types and truth rules. A Value is small and copied freely:
// numbers are inline, strings are shared and immutable, everything that can hold other values is an Object
// owned by the Runtime of one rendering and freed with it, all at once. So cycles can not leak, and no
// destructor recurses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/jinja/str.h"

namespace turgo::jinja {

// Python's integers have no bound; 128 bits hold every JSON integer, and what would leave them is an error.
__extension__ typedef __int128 Int;

enum class Kind : uint8_t {
  kUndefined,  // str = the error that using it raises
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kNamespace,
  kRange,
  kIterator,  // generators and iterators: can be walked once
  kDictView,  // dict.keys(), .values(), .items()
  kMacro,
  kFunction,  // global function
  kMethod,    // method bound to its value
  kLoop,
};

struct Object {
  virtual ~Object() = default;
};
struct Value;
struct List;
struct Dict;
struct Range;
struct Iterator;
struct DictView;
struct Macro;
struct Function;
struct Method;
class Loop;

struct Value {
  Kind kind = Kind::kUndefined;
  bool input = false;  // numbers, booleans, none: came from the caller (strings carry ranges instead)
  union Payload {
    Int integer;
    double number;
    bool boolean;
    Object* object;
  } as{0};
  StrRef str;

  static Value none() { return of(Kind::kNone); }
  static Value boolean(bool b);
  static Value integer(Int i, bool input = false);
  static Value number(double d, bool input = false);
  static Value string(StrRef s);
  static Value string(std::string text) { return string(constant_str(std::move(text))); }
  static Value undefined(std::string message);
  static Value object(Kind kind, Object* object);

  bool is(Kind k) const { return kind == k; }
  bool is_string() const { return kind == Kind::kString; }
  bool is_sequence() const { return kind == Kind::kList || kind == Kind::kTuple; }
  bool is_integral() const { return kind == Kind::kInt || kind == Kind::kBool; }
  bool is_number() const { return is_integral() || kind == Kind::kFloat; }
  Int to_int() const { return kind == Kind::kBool ? Int{as.boolean} : as.integer; }  // is_integral()
  double to_double() const;                                                          // is_number()

  List& list() const;  // kList, kTuple
  Dict& dict() const;  // kDict, kNamespace
  Range& range() const;
  Iterator& iterator() const;
  DictView& view() const;

 private:
  static Value of(Kind kind) {
    Value v;
    v.kind = kind;
    return v;
  }
};

struct List : Object {
  std::vector<Value> items;
  bool input = false;  // came from the caller whole: its brackets and commas are input too when printed
};

// Insertion order; equal keys as in Python (1 == 1.0 == true). Lookups hash once the dict is larger than a
// few entries.
struct Dict : Object {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_multimap<size_t, size_t> index;  // hash -> position; empty while entries are few
  bool input = false;

  const Value* find(std::string_view key) const;
  const Value* find(Runtime& runtime, const Value& key) const;
  void set(Runtime& runtime, const Value& key, Value value);
  bool erase(Runtime& runtime, const Value& key);

 private:
  size_t position(Runtime* runtime, const Value& key, std::string_view text, bool by_text) const;
};

struct Range : Object {
  int64_t start = 0, stop = 0, step = 1, size = 0;
  Value at(int64_t i) const { return Value::integer(start + i * step); }
};

struct Iterator : Object {
  std::vector<Value> items;
  size_t next = 0;
  const char* type_name = "generator";
};

struct DictView : Object {
  enum Part { kKeys, kValues, kItems } part = kItems;
  Dict* dict = nullptr;
};

// Names as Python prints them: "str", "int", "dict" …
const char* type_name(const Value& v);

}  // namespace turgo::jinja
