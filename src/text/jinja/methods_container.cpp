// Methods of lists, tuples, dicts and the loop variable. Lists and dicts of one rendering may be changed in
// place (append, pop …): the caller's own messages are copies and stay as they are.
#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"

namespace turgo::jinja {

namespace {

std::vector<Value>& items_of(const Value& self) {
  return self.list().items;
}

// --- lists and tuples ---

Value append(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "append", args, {"object"}, 1);
  rt.grow(sizeof(Value));
  items_of(self).push_back(p[0]);
  return Value::none();
}

Value extend(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "extend", args, {"iterable"}, 1);
  std::vector<Value> more = elements(rt, p[0]);
  rt.grow(more.size() * sizeof(Value));
  items_of(self).insert(items_of(self).end(), more.begin(), more.end());
  return Value::none();
}

Value insert(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "insert", args, {"index", "object"}, 2);
  auto& items = items_of(self);
  auto n = static_cast<int64_t>(items.size());
  int64_t i = p.integer(0, 0);
  i = std::clamp<int64_t>(i < 0 ? std::max(i, -n) + n : i, 0, n);
  rt.grow(sizeof(Value));
  rt.step(static_cast<size_t>(n - i));
  items.insert(items.begin() + i, p[1]);
  return Value::none();
}

Value list_pop(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "pop", args, {"index"});
  auto& items = items_of(self);
  if (items.empty()) rt.type_error("pop from empty list");
  auto n = static_cast<int64_t>(items.size());
  int64_t i = p.integer(0, -1);
  if (i < -n || i >= n) rt.type_error("pop index out of range");
  if (i < 0) i += n;
  rt.step(static_cast<size_t>(n - i));
  Value taken = items[static_cast<size_t>(i)];
  items.erase(items.begin() + i);
  return taken;
}

Value list_copy(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "copy", args);
  return rt.new_list(elements(rt, self));
}

Value list_clear(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "clear", args);
  items_of(self).clear();
  return Value::none();
}

Value list_reverse(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "reverse", args);
  rt.step(items_of(self).size());
  std::reverse(items_of(self).begin(), items_of(self).end());
  return Value::none();
}

Value count(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "count", args, {"value"}, 1);
  int64_t n = 0;
  for (const Value& item : items_of(self)) n += equals(rt, item, p[0]) ? 1 : 0;
  return Value::integer(n);
}

Value index(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "index", args, {"value"}, 1);
  const auto& items = items_of(self);
  for (size_t i = 0; i < items.size(); ++i) {
    if (equals(rt, items[i], p[0])) return Value::integer(static_cast<int64_t>(i));
  }
  rt.type_error("the value is not in the list");
}

constexpr Named<MethodFn> kListMethods[] = {
    {"append", append},    {"pop", list_pop},         {"extend", extend},
    {"insert", insert},    {"index", index},          {"count", count},
    {"clear", list_clear}, {"reverse", list_reverse}, {"copy", list_copy},
};
constexpr Named<MethodFn> kTupleMethods[] = {{"index", index}, {"count", count}};

// --- dicts ---

Value get(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "get", args, {"key", "default"}, 1);
  const Value* found = self.dict().find(rt, p[0]);
  if (found) return *found;
  return p.has(1) ? p[1] : Value::none();
}

template <DictView::Part part>
Value view(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "dict view", args);
  return rt.new_view(self.dict(), part);
}

Value dict_pop(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "pop", args, {"key", "default"}, 1);
  const Value* found = self.dict().find(rt, p[0]);
  if (!found) {
    if (p.has(1)) return p[1];
    rt.type_error("pop: the key is not in the dict");
  }
  Value taken = *found;
  self.dict().erase(rt, p[0]);
  return taken;
}

Value popitem(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "popitem", args);
  if (self.dict().entries.empty()) rt.type_error("popitem(): dictionary is empty");
  auto [key, value] = self.dict().entries.back();
  self.dict().erase(rt, key);
  return rt.new_tuple({key, value});
}

Value setdefault(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "setdefault", args, {"key", "default"}, 1);
  if (const Value* found = self.dict().find(rt, p[0])) return *found;
  Value value = p.has(1) ? p[1] : Value::none();
  self.dict().set(rt, p[0], value);
  return value;
}

Value update(Runtime& rt, const Value& self, Args& args) {
  if (args.positional.size() > 1) rt.type_error("update takes at most 1 positional argument");
  if (!args.positional.empty()) {
    Value source = args.positional[0];
    if (source.is(Kind::kDict)) source = rt.new_view(source.dict(), DictView::kItems);
    for (const Value& item : elements(rt, source)) {
      std::vector<Value> pair = elements(rt, item);
      if (pair.size() != 2) rt.type_error("update needs pairs of key and value");
      self.dict().set(rt, pair[0], pair[1]);
    }
  }
  for (auto& [name, value] : args.named) self.dict().set(rt, Value::string(name), std::move(value));
  return Value::none();
}

Value dict_copy(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "copy", args);
  Value out = rt.new_dict();
  for (const auto& [key, value] : self.dict().entries) {
    rt.step();
    out.dict().set(rt, key, value);
  }
  return out;
}

Value dict_clear(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "clear", args);
  self.dict().entries.clear();
  self.dict().index.clear();
  return Value::none();
}

constexpr Named<MethodFn> kDictMethods[] = {
    {"get", get},
    {"items", view<DictView::kItems>},
    {"keys", view<DictView::kKeys>},
    {"values", view<DictView::kValues>},
    {"pop", dict_pop},
    {"update", update},
    {"setdefault", setdefault},
    {"copy", dict_copy},
    {"popitem", popitem},
    {"clear", dict_clear},
};

// --- loop ---

Value cycle(Runtime& rt, const Value& self, Args& args) {
  return static_cast<Loop*>(self.as.object)->cycle(rt, args.positional);
}
Value changed(Runtime& rt, const Value& self, Args& args) {
  return Value::boolean(static_cast<Loop*>(self.as.object)->changed(rt, std::move(args.positional)));
}

constexpr Named<MethodFn> kLoopMethods[] = {{"cycle", cycle}, {"changed", changed}};

}  // namespace

const Named<MethodFn>* find_container_method(const Value& v, std::string_view name) {
  switch (v.kind) {
    case Kind::kList:
      return find_named(kListMethods, name);
    case Kind::kTuple:
      return find_named(kTupleMethods, name);
    case Kind::kDict:
      return find_named(kDictMethods, name);
    case Kind::kLoop:
      return find_named(kLoopMethods, name);
    default:
      return nullptr;
  }
}

}  // namespace turgo::jinja
