// Filters over sequences and mappings. Those that are generators in jinja2 return iterators: they can be
// walked once.
#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

// "a.b.0" or an integer, one element after the other; an undefined step becomes `otherwise` when there is
// one.
Value get_path(Runtime& rt, const Value& v, const Value& path, const Value* otherwise) {
  auto step_into = [&](const Value& from, const Value& key) {
    Value found = get_item(rt, from, key);
    return found.is(Kind::kUndefined) && otherwise && !otherwise->is(Kind::kNone) ? *otherwise : found;
  };
  if (!path.is_string()) return step_into(v, path);
  Value at = v;
  std::string_view rest = path.str->text;
  while (true) {
    size_t dot = rest.find('.');
    std::string part(rest.substr(0, dot));
    bool digits =
        !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    at = step_into(at, digits ? Value::integer(parse_int(rt, part, 10).value_or(0)) : Value::string(part));
    if (dot == std::string_view::npos) return at;
    rest.remove_prefix(dot + 1);
  }
}

namespace {

Value folded(Runtime& rt, const Value& v, bool case_sensitive) {
  if (case_sensitive || !v.is_string()) return v;
  return Value::string(change_case(rt, *v.str, Case::kLower));
}

// sorted(): stable; `reverse` keeps the order of equal elements, as Python does.
void sort_by_keys(Runtime& rt, std::vector<std::pair<Value, Value>>& keyed, bool reverse) {
  auto before = [&](const auto& a, const auto& b) { return less(rt, a.first, b.first); };
  if (reverse) std::reverse(keyed.begin(), keyed.end());
  std::stable_sort(keyed.begin(), keyed.end(), before);
  if (reverse) std::reverse(keyed.begin(), keyed.end());
}

std::vector<Value> second_of(std::vector<std::pair<Value, Value>>& keyed) {
  std::vector<Value> out;
  out.reserve(keyed.size());
  for (auto& entry : keyed) out.push_back(std::move(entry.second));
  return out;
}

Value length(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "length", args);
  auto n = length_of(v);
  if (!n) rt.type_error("object of type '{}' has no len()", type_name(v));
  if (v.is_string()) rt.step(v.str->text.size() / 256);
  return Value::integer(*n);
}

Value list_filter(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "list", args);
  return rt.new_list(elements(rt, v));
}

Value first(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "first", args);
  if (v.is_string() || v.is_sequence()) {  // without walking the rest
    Value found = get_item(rt, v, Value::integer(0));
    return found.is(Kind::kUndefined) && *length_of(v) == 0
               ? Value::undefined("No first item, sequence was empty.")
               : found;
  }
  if (v.is(Kind::kIterator)) {
    Iterator& it = v.iterator();
    return it.next < it.items.size() ? it.items[it.next++]
                                     : Value::undefined("No first item, sequence was empty.");
  }
  std::vector<Value> items = elements(rt, v);
  return items.empty() ? Value::undefined("No first item, sequence was empty.") : items.front();
}

Value last(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "last", args);
  if (v.is(Kind::kIterator)) rt.type_error("'{}' object is not reversible", type_name(v));
  std::vector<Value> items = elements(rt, v);
  return items.empty() ? Value::undefined("No last item, sequence was empty.") : items.back();
}

Value reverse(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "reverse", args);
  if (v.is_string()) return get_slice(rt, v, Value::none(), Value::none(), Value::integer(-1));
  std::vector<Value> items = elements(rt, v);
  std::reverse(items.begin(), items.end());
  if (v.is(Kind::kIterator)) return rt.new_list(std::move(items));
  return rt.new_iterator(std::move(items), "list_reverseiterator");
}

Value items_filter(Runtime& rt, const Value& v, Args& args) {
  refuse_arguments(rt, "items", args);
  if (v.is(Kind::kUndefined)) return rt.new_iterator({});
  if (!v.is(Kind::kDict)) rt.type_error("Can only get item pairs from a mapping.");
  return rt.new_iterator(elements(rt, rt.new_view(v.dict(), DictView::kItems)));
}

Value dictsort(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "dictsort", args, {"case_sensitive", "by", "reverse"});
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (!v.is(Kind::kDict)) rt.type_error("dictsort needs a mapping, got {}", type_name(v));
  bool by_value = false;
  if (p.has(1)) {
    StrRef by = p.text(1);
    if (by->text != "key" && by->text != "value")
      rt.type_error("You can only sort by either \"key\" or \"value\"");
    by_value = by->text == "value";
  }
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : v.dict().entries) {
    keyed.emplace_back(folded(rt, by_value ? value : key, p.flag(0, false)), rt.new_tuple({key, value}));
  }
  sort_by_keys(rt, keyed, p.flag(2, false));
  return rt.new_list(second_of(keyed));
}

Value sort(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "sort", args, {"reverse", "case_sensitive", "attribute"});
  bool case_sensitive = p.flag(1, false);
  std::vector<Value> paths;
  if (p.given(2) && p[2].is_string()) {
    std::string_view rest = p[2].str->text;
    for (size_t comma = 0; comma != std::string_view::npos; rest.remove_prefix(comma + 1)) {
      comma = rest.find(',');
      paths.push_back(Value::string(std::string(rest.substr(0, comma))));
      if (comma == std::string_view::npos) break;
    }
  } else if (p.given(2)) {
    paths.push_back(p[2]);
  }
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : elements(rt, v)) {
    std::vector<Value> key;
    for (const Value& path : paths) key.push_back(folded(rt, get_path(rt, item, path), case_sensitive));
    Value whole = paths.empty() ? folded(rt, item, case_sensitive) : rt.new_list(std::move(key));
    keyed.emplace_back(std::move(whole), std::move(item));
  }
  sort_by_keys(rt, keyed, p.flag(0, false));
  return rt.new_list(second_of(keyed));
}

Value unique(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "unique", args, {"case_sensitive", "attribute"});
  Value seen = rt.new_dict();
  std::vector<Value> out;
  for (Value& item : elements(rt, v)) {
    Value key = folded(rt, p.given(1) ? get_path(rt, item, p[1]) : item, p.flag(0, false));
    if (seen.dict().find(rt, key)) continue;
    seen.dict().set(rt, key, Value::none());
    out.push_back(std::move(item));
  }
  return rt.new_iterator(std::move(out));
}

Value extreme(Runtime& rt, const Value& v, Args& args, const char* name, bool want_max) {
  Params p(rt, name, args, {"case_sensitive", "attribute"});
  std::vector<Value> items = elements(rt, v);
  if (items.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  auto key_of = [&](const Value& item) {
    return folded(rt, p.given(1) ? get_path(rt, item, p[1]) : item, p.flag(0, false));
  };
  size_t best = 0;
  Value best_key = key_of(items[0]);
  for (size_t i = 1; i < items.size(); ++i) {
    Value key = key_of(items[i]);
    if (want_max ? less(rt, best_key, key, ">") : less(rt, key, best_key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items[best];
}

Value min(Runtime& rt, const Value& v, Args& args) {
  return extreme(rt, v, args, "min", false);
}
Value max(Runtime& rt, const Value& v, Args& args) {
  return extreme(rt, v, args, "max", true);
}

Value sum(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "sum", args, {"attribute", "start"});
  Value total = p.has(1) ? p[1] : Value::integer(0);
  if (total.is_string()) rt.type_error("sum() can't sum strings");
  for (const Value& item : elements(rt, v)) {
    total = binary(rt, BinaryOp::kAdd, total, p.given(0) ? get_path(rt, item, p[0]) : item);
  }
  return total;
}

Value batch(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "batch", args, {"linecount", "fill_with"}, 1);
  int64_t size = p.integer(0, 0);
  std::vector<Value> rows, row;
  for (Value& item : elements(rt, v)) {
    if (static_cast<int64_t>(row.size()) == size) rows.push_back(rt.new_list(std::exchange(row, {})));
    row.push_back(std::move(item));
  }
  if (!row.empty()) {
    if (p.given(1) && static_cast<int64_t>(row.size()) < size) {
      rt.check_repeat(sizeof(Value), size);
      rt.step(static_cast<size_t>(size));
      row.resize(static_cast<size_t>(size), p[1]);
    }
    rows.push_back(rt.new_list(std::move(row)));
  }
  return rt.new_iterator(std::move(rows));
}

Value slice_filter(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "slice", args, {"slices", "fill_with"}, 1);
  int64_t slices = p.integer(0, 0);
  if (slices == 0) rt.type_error("integer division or modulo by zero");
  std::vector<Value> items = elements(rt, v);
  std::vector<Value> columns;
  if (slices > 0) {
    rt.step(static_cast<size_t>(slices));
    rt.check_repeat(sizeof(List), slices);
    auto size = static_cast<int64_t>(items.size());
    int64_t each = size / slices;
    int64_t extra = size % slices;
    int64_t at = 0;
    for (int64_t i = 0; i < slices; ++i) {
      int64_t end = at + each + (i < extra ? 1 : 0);
      std::vector<Value> column(items.begin() + at, items.begin() + end);
      if (p.given(1) && i >= extra) column.push_back(p[1]);
      columns.push_back(rt.new_list(std::move(column)));
      at = end;
    }
  }
  return rt.new_iterator(std::move(columns));
}

Value groupby(Runtime& rt, const Value& v, Args& args) {
  Params p(rt, "groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  std::vector<std::pair<Value, Value>> keyed;
  for (Value& item : elements(rt, v)) {
    Value key = folded(rt, get_path(rt, item, p[0], p.value(1)), p.flag(2, false));
    keyed.emplace_back(std::move(key), std::move(item));
  }
  sort_by_keys(rt, keyed, false);
  std::vector<Value> groups;
  for (size_t i = 0; i < keyed.size();) {
    std::vector<Value> members;
    Value name = get_path(rt, keyed[i].second, p[0], p.value(1));
    size_t begin = i;
    for (; i < keyed.size() && equals(rt, keyed[begin].first, keyed[i].first); ++i)
      members.push_back(keyed[i].second);
    groups.push_back(rt.new_tuple({std::move(name), rt.new_list(std::move(members))}));
  }
  return rt.new_list(std::move(groups));
}

// The first positional argument as a name, and the others.
std::string take_name(Runtime& rt, Args& args, const char* function) {
  if (args.positional.empty() || !args.positional[0].is_string()) {
    rt.type_error("{} needs a name as its first argument", function);
  }
  std::string name = args.positional[0].str->text;
  args.positional.erase(args.positional.begin());
  return name;
}

Value map(Runtime& rt, const Value& v, Args& args) {
  std::vector<Value> out;
  if (args.positional.empty() && !args.named.empty()) {
    Params p(rt, "map", args, {"attribute", "default"}, 1);
    for (const Value& item : elements(rt, v)) out.push_back(get_path(rt, item, p[0], p.value(1)));
    return rt.new_iterator(std::move(out));
  }
  std::string name = take_name(rt, args, "map");
  for (const Value& item : elements(rt, v)) out.push_back(rt.apply_filter(name, item, args));
  return rt.new_iterator(std::move(out));
}

Value choose(Runtime& rt, const Value& v, Args& args, const char* function, bool by_attribute, bool keep) {
  std::vector<Value> out;
  if (!truthy(v)) return rt.new_iterator({});
  Value path;
  if (by_attribute) {
    if (args.positional.empty()) rt.type_error("{} needs the name of an attribute", function);
    path = args.positional[0];
    args.positional.erase(args.positional.begin());
  }
  bool has_test = !args.positional.empty();
  std::string test = has_test ? take_name(rt, args, function) : std::string();
  for (Value& item : elements(rt, v)) {
    Value subject = by_attribute ? get_path(rt, item, path) : item;
    bool accepted = has_test ? rt.apply_test(test, subject, args) : truthy(subject);
    if (accepted == keep) out.push_back(std::move(item));
  }
  return rt.new_iterator(std::move(out));
}

Value select(Runtime& rt, const Value& v, Args& args) {
  return choose(rt, v, args, "select", false, true);
}
Value reject(Runtime& rt, const Value& v, Args& args) {
  return choose(rt, v, args, "reject", false, false);
}
Value selectattr(Runtime& rt, const Value& v, Args& args) {
  return choose(rt, v, args, "selectattr", true, true);
}
Value rejectattr(Runtime& rt, const Value& v, Args& args) {
  return choose(rt, v, args, "rejectattr", true, false);
}

constexpr Named<MethodFn> kFilters[] = {
    {"length", length},
    {"count", length},
    {"list", list_filter},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"items", items_filter},
    {"dictsort", dictsort},
    {"sort", sort},
    {"unique", unique},
    {"min", min},
    {"max", max},
    {"sum", sum},
    {"batch", batch},
    {"slice", slice_filter},
    {"groupby", groupby},
    {"map", map},
    {"select", select},
    {"reject", reject},
    {"selectattr", selectattr},
    {"rejectattr", rejectattr},
};

}  // namespace

MethodFn find_list_filter(std::string_view name) {
  const auto* entry = find_named(kFilters, name);
  return entry ? entry->fn : nullptr;
}

}  // namespace turgo::jinja
