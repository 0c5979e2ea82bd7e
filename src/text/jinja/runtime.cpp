#include "text/jinja/runtime.h"

namespace turgo::jinja {

std::string one_line(std::string_view text, size_t max_bytes) {
  std::string quoted = quote(text, max_bytes);
  return quoted.substr(1, quoted.size() - 2);
}

void Runtime::raise(ErrorCode code, const std::string& message) const {
  fail(code, "chat template, line {}: {}", line, one_line(message, limits.max_message_bytes));
}

void Runtime::out_of(const std::string& what) const {
  raise(ErrorCode::kResourceExhausted, fmt::format("the template needs more than {}", what));
}

void Runtime::check_string(size_t size, size_t added) {
  if (added > limits.max_string_bytes || size > limits.max_string_bytes - added) {
    out_of(fmt::format("{} bytes in one string", limits.max_string_bytes));
  }
  step(added / 256);
}

void Runtime::check_repeat(size_t size, int64_t count) {
  if (count > 0 && size > limits.max_string_bytes / static_cast<size_t>(count)) {
    out_of(fmt::format("{} bytes in one string", limits.max_string_bytes));
  }
  step(static_cast<size_t>(count) / 16);
}

void Runtime::check_value_depth(int depth) const {
  if (depth > limits.max_value_depth) {
    raise(ErrorCode::kResourceExhausted,
          fmt::format("a value is nested deeper than {} levels, or holds itself", limits.max_value_depth));
  }
}

void Runtime::adopt(Str& s) {
  size_t bytes = s.text.capacity() + s.input.capacity() * sizeof(MarkedText::Range) + sizeof(Str);
  live_bytes_ += bytes;
  s.live_bytes = &live_bytes_;
  if (live_bytes_ > limits.max_live_bytes) out_of(fmt::format("{} bytes of values", limits.max_live_bytes));
}

void Runtime::grow(size_t bytes) {
  live_bytes_ += bytes;
  if (live_bytes_ > limits.max_live_bytes) out_of(fmt::format("{} bytes of values", limits.max_live_bytes));
}

Value Runtime::new_list(std::vector<Value> items) {
  auto* list = make<List>();
  grow(items.size() * sizeof(Value));
  list->items = std::move(items);
  return Value::object(Kind::kList, list);
}

Value Runtime::new_tuple(std::vector<Value> items) {
  Value v = new_list(std::move(items));
  v.kind = Kind::kTuple;
  return v;
}

Value Runtime::new_dict() {
  return Value::object(Kind::kDict, make<Dict>());
}

Value Runtime::new_iterator(std::vector<Value> items, const char* type_name) {
  auto* iterator = make<Iterator>();
  grow(items.size() * sizeof(Value));
  iterator->items = std::move(items);
  iterator->type_name = type_name;
  return Value::object(Kind::kIterator, iterator);
}

Value Runtime::new_view(Dict& dict, DictView::Part part) {
  auto* view = make<DictView>();
  view->dict = &dict;
  view->part = part;
  return Value::object(Kind::kDictView, view);
}

Value Runtime::new_str(std::string text, bool input) {
  StrBuilder builder(*this);
  builder.add(text, input);
  return Value::string(builder.finish());
}

}  // namespace turgo::jinja
