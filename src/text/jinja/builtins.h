// The built-in names of the template language: filters, tests, methods and members, global functions. Each
// table maps a name to one plain function; behaviour is that of jinja2 3.1 with transformers' additions
// (tojson, from_json, raise_exception, strftime_now, namespace). Names that reach into Python objects do not
// exist.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>

#include "text/jinja/runtime.h"

namespace turgo::jinja {

using MethodFn = Value (*)(Runtime&, const Value& self, Args&);
using TestFn = bool (*)(Runtime&, const Value& self, Args&);
using FunctionFn = Value (*)(Runtime&, Args&);

struct Function : Object {
  const char* name = "";
  FunctionFn fn = nullptr;
};

struct Method : Object {
  Value self;
  const char* name = "";
  MethodFn fn = nullptr;
};

template <class Fn>
struct Named {
  std::string_view name;
  Fn fn;
};

MethodFn find_filter(std::string_view name);
TestFn find_test(std::string_view name);
FunctionFn find_global(std::string_view name, const char** stored_name);
// Methods (bound) and members of a value: "abc".upper, dict.items, namespace members, loop.index …
std::optional<Value> find_member(Runtime& rt, const Value& v, std::string_view name);
bool callable(const Value& v);

// The tables, one per source file.
MethodFn find_text_filter(std::string_view name);
MethodFn find_list_filter(std::string_view name);
MethodFn find_value_filter(std::string_view name);
const Named<MethodFn>* find_str_method(std::string_view name);
const Named<MethodFn>* find_container_method(const Value& v, std::string_view name);

template <class Fn, size_t N>
const Named<Fn>* find_named(const Named<Fn> (&table)[N], std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

// Binds the arguments of one call to parameter names, with Python's rules.
class Params {
 public:
  Params(Runtime& rt, const char* function, Args& args, std::initializer_list<const char*> names,
         size_t required = 0);

  bool has(size_t i) const { return values_[i] != nullptr; }
  bool given(size_t i) const { return has(i) && !values_[i]->is(Kind::kNone); }  // present and not None
  const Value& operator[](size_t i) const { return *values_[i]; }
  bool flag(size_t i, bool otherwise) const;
  int64_t integer(size_t i, int64_t otherwise) const;
  StrRef text(size_t i) const;  // must be a string
  const Value* value(size_t i) const { return values_[i]; }

 private:
  Runtime& rt_;
  const char* function_;
  std::vector<const char*> names_;
  std::vector<const Value*> values_;
};

// Throws what Params throws if there is an argument at all.
void refuse_arguments(Runtime& rt, const char* function, Args& args);

StrRef escape_html(Runtime& rt, const Str& s);
Value format_percent(Runtime& rt, const Str& format, const Value& values);
Value format_percent(Runtime& rt, const Str& format, Args& args);
Value format_braces(Runtime& rt, const Str& format, Args& args);

// Case mapping of Python's str.upper, .lower, .capitalize and .title.
enum class Case { kUpper, kLower, kCapitalize, kTitle, kSwap };
StrRef change_case(Runtime& rt, const Str& s, Case to);

enum class Side { kBoth, kLeft, kRight };
// str.strip(chars): whitespace when chars is null.
StrRef strip(Runtime& rt, const Str& s, const Str* chars, Side side);
StrRef replace(Runtime& rt, const Str& s, const Str& from, const Str& to, int64_t count);
std::vector<Value> split_lines(Runtime& rt, const Str& s, bool keep_ends);
StrRef slice(Runtime& rt, const Str& s, size_t begin, size_t end, bool markup = false);

StrRef pad(Runtime& rt, const Str& s, int64_t width, const Str& fill, Side side);  // kBoth: str.center
bool is_word_character(char32_t c);                                                // \w of Python's re
bool is_upper_text(const Str& s);                                                  // str.isupper
bool is_lower_text(const Str& s);

// item["a"]["b"][0] for "a.b.0"; an undefined step becomes *otherwise when that is given and not None.
Value get_path(Runtime& rt, const Value& v, const Value& path, const Value* otherwise = nullptr);

// Python's int(text, base) and float(text); empty where they raise ValueError.
std::optional<Int> parse_int(Runtime& rt, std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

}  // namespace turgo::jinja
