#include "text/jinja/builtins.h"

#include <algorithm>

#include "text/jinja/loop.h"
#include "text/jinja/operators.h"

namespace turgo::jinja {

Params::Params(Runtime& rt, const char* function, Args& args, std::initializer_list<const char*> names,
               size_t required)
    : rt_(rt), function_(function), names_(names), values_(names.size()) {
  if (args.positional.size() > names_.size()) {
    rt.type_error("{} takes at most {} arguments, got {}", function, names_.size(), args.positional.size());
  }
  for (size_t i = 0; i < args.positional.size(); ++i) values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    auto it = std::find_if(names_.begin(), names_.end(), [&, key = name](const char* n) { return key == n; });
    if (it == names_.end()) rt.type_error("{} got an unexpected argument '{}'", function, name);
    auto& slot = values_[static_cast<size_t>(it - names_.begin())];
    if (slot) rt.type_error("{} got the argument '{}' twice", function, name);
    slot = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (!values_[i]) rt.type_error("{} needs the argument '{}'", function, names_[i]);
  }
}

void refuse_arguments(Runtime& rt, const char* function, Args& args) {
  const Params none(rt, function, args, {});
}

bool Params::flag(size_t i, bool otherwise) const {
  return values_[i] ? truthy(*values_[i]) : otherwise;
}

int64_t Params::integer(size_t i, int64_t otherwise) const {
  return values_[i] ? to_index(rt_, *values_[i], names_[i]) : otherwise;
}

StrRef Params::text(size_t i) const {
  const Value& v = *values_[i];
  if (v.is(Kind::kUndefined)) undefined_error(rt_, v);
  if (!v.is_string()) rt_.type_error("{}: '{}' must be a string, not {}", function_, names_[i], type_name(v));
  return v.str;
}

MethodFn find_filter(std::string_view name) {
  if (MethodFn fn = find_list_filter(name)) return fn;
  if (MethodFn fn = find_text_filter(name)) return fn;
  return find_value_filter(name);
}

std::optional<Value> find_member(Runtime& rt, const Value& v, std::string_view name) {
  const Named<MethodFn>* method = v.is_string() ? find_str_method(name) : find_container_method(v, name);
  if (method) {
    auto* bound = rt.make<Method>();
    bound->self = v;
    bound->name = method->name.data();
    bound->fn = method->fn;
    return Value::object(Kind::kMethod, bound);
  }
  if (v.is(Kind::kNamespace)) {
    const Value* found = v.dict().find(name);
    return found ? std::optional(*found) : std::nullopt;
  }
  if (v.is(Kind::kLoop)) return static_cast<Loop*>(v.as.object)->member(rt, name);
  return std::nullopt;
}

bool callable(const Value& v) {
  return v.is(Kind::kMacro) || v.is(Kind::kFunction) || v.is(Kind::kMethod) || v.is(Kind::kLoop) ||
         v.is(Kind::kUndefined);
}

}  // namespace turgo::jinja
