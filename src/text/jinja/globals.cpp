// Global functions: namespace, dict, range, raise_exception, strftime_now.
#include <ctime>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

namespace {

// dict(mapping or pairs, name=value…), also the body of namespace().
Value make_dict(Runtime& rt, Args& args, const char* function) {
  if (args.positional.size() > 1) rt.type_error("{} takes at most 1 positional argument", function);
  Value out = rt.new_dict();
  if (!args.positional.empty()) {
    const Value& source = args.positional[0];
    if (source.is(Kind::kDict)) {
      for (const auto& [key, value] : source.dict().entries) out.dict().set(rt, key, value);
    } else {
      for (const Value& item : elements(rt, source)) {
        std::vector<Value> pair = elements(rt, item);
        if (pair.size() != 2) rt.type_error("{} needs pairs of key and value", function);
        out.dict().set(rt, pair[0], pair[1]);
      }
    }
  }
  for (auto& [name, value] : args.named) out.dict().set(rt, Value::string(name), std::move(value));
  return out;
}

Value dict_function(Runtime& rt, Args& args) {
  return make_dict(rt, args, "dict");
}

Value namespace_function(Runtime& rt, Args& args) {
  Value v = make_dict(rt, args, "namespace");
  for (const auto& entry : v.dict().entries) {
    if (entry.first.is_string() && !entry.first.str->text.empty() && entry.first.str->text[0] == '_') {
      rt.type_error("namespace attributes can not begin with '_'");
    }
  }
  v.kind = Kind::kNamespace;
  return v;
}

Value range_function(Runtime& rt, Args& args) {
  if (!args.named.empty()) rt.type_error("range takes no named arguments");
  size_t count = args.positional.size();
  if (count < 1 || count > 3) rt.type_error("range takes 1 to 3 arguments, got {}", count);
  auto at = [&](size_t i) { return to_index(rt, args.positional[i], "range argument"); };
  auto* range = rt.make<Range>();
  range->start = count > 1 ? at(0) : 0;
  range->stop = count > 1 ? at(1) : at(0);
  range->step = count > 2 ? at(2) : 1;
  if (range->step == 0) rt.type_error("range step must not be zero");
  Int span = Int{range->stop} - range->start;
  Int step = range->step;
  Int size = step > 0 ? (span + step - 1) / step : (span + step + 1) / step;
  if ((span > 0) != (step > 0) || span == 0) size = 0;
  if (size > rt.limits.max_range) rt.out_of(fmt::format("{} elements in a range", rt.limits.max_range));
  range->size = static_cast<int64_t>(size);
  return Value::object(Kind::kRange, range);
}

Value raise_exception(Runtime& rt, Args& args) {
  Params p(rt, "raise_exception", args, {"message"}, 1);
  rt.raise(ErrorCode::kInvalidArgument, to_str(rt, p[0])->text);
}

Value strftime_now(Runtime& rt, Args& args) {
  Params p(rt, "strftime_now", args, {"format"}, 1);
  StrRef format = p.text(0);
  constexpr size_t kMaxFormat = 1024;  // bytes; each directive writes at most about 30 in the C locale
  if (format->text.size() > kMaxFormat)
    rt.type_error("strftime_now: the format is longer than {} bytes", kMaxFormat);
  std::tm time{};
  if (rt.now) {
    time = *rt.now;
  } else {
    std::time_t seconds = std::time(nullptr);
    localtime_r(&seconds, &time);
  }
  std::string with_end = format->text + "|";  // strftime returns 0 for an error and for an empty result
  // Widths ("%9999d", a glibc extension) would size the output: refuse digits and flags after %.
  for (size_t i = with_end.find('%'); i != std::string::npos; i = with_end.find('%', i + 2)) {
    char c = with_end[i + 1];
    if ((c >= '0' && c <= '9') || c == '_' || c == '^' || c == '+' || c == '#') {
      rt.type_error("strftime_now: '%{}' is not supported", c);
    }
  }
  std::vector<char> buffer(with_end.size() * 32 + 64);
  size_t size = std::strftime(buffer.data(), buffer.size(), with_end.c_str(), &time);
  if (size == 0) rt.type_error("strftime_now: the format is not valid");
  std::string text(buffer.data(), size - 1);
  if (!Utf8::valid(text)) rt.type_error("strftime_now: the format is not valid");
  return rt.new_str(std::move(text), format->any_input());
}

constexpr Named<FunctionFn> kFunctions[] = {
    {"namespace", namespace_function},    {"range", range_function},      {"dict", dict_function},
    {"raise_exception", raise_exception}, {"strftime_now", strftime_now},
};

}  // namespace

FunctionFn find_global(std::string_view name, const char** stored_name) {
  const auto* entry = find_named(kFunctions, name);
  if (!entry) return nullptr;
  *stored_name = entry->name.data();
  return entry->fn;
}

}  // namespace turgo::jinja
