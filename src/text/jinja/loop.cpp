#include "text/jinja/loop.h"

#include "text/jinja/operators.h"
#include "text/jinja/runtime.h"

namespace turgo::jinja {

Cursor::Cursor(Runtime& rt, const Value& source) : source_(source) {
  if (!iterable(source)) rt.type_error("'{}' object is not iterable", type_name(source));
  bool lazy = source.is_sequence() || source.is(Kind::kRange) || source.is(Kind::kIterator);
  if (!lazy) copy_ = elements(rt, source);
}

std::optional<Value> Cursor::next(Runtime& rt) {
  rt.step();
  if (source_.is_sequence()) {
    const auto& items = source_.list().items;
    return at_ < items.size() ? std::optional(items[at_++]) : std::nullopt;
  }
  if (source_.is(Kind::kRange)) {
    const Range& range = source_.range();
    auto i = static_cast<int64_t>(at_);
    return i < range.size ? std::optional(range.at(static_cast<int64_t>(at_++))) : std::nullopt;
  }
  if (source_.is(Kind::kIterator)) {
    Iterator& it = source_.iterator();
    return it.next < it.items.size() ? std::optional(it.items[it.next++]) : std::nullopt;
  }
  return at_ < copy_.size() ? std::optional(copy_[at_++]) : std::nullopt;
}

void Loop::start(Runtime& rt, const Value& source, Accept accept, int depth0) {
  cursor_.emplace(rt, source);
  accept_ = std::move(accept);
  depth0_ = depth0;
  if (!accept_) length_ = length_of(source);
}

std::optional<Value> Loop::pull(Runtime& rt) {
  while (auto v = cursor_->next(rt)) {
    if (!accept_ || accept_(*v)) return v;
  }
  return std::nullopt;
}

const std::optional<Value>& Loop::peek(Runtime& rt) {
  if (!after_) after_ = pull(rt);
  return after_;
}

std::optional<Value> Loop::advance(Runtime& rt) {
  std::optional<Value> v;
  if (after_) {
    v = std::move(after_);
    after_.reset();
  } else {
    v = pull(rt);
  }
  if (!v) return v;
  ++index0_;
  before_ = std::move(current_);
  current_ = v;
  return v;
}

int64_t Loop::length(Runtime& rt) {
  if (length_) return *length_;
  std::vector<Value> remaining;
  while (auto v = pull(rt)) remaining.push_back(std::move(*v));
  length_ = static_cast<int64_t>(remaining.size()) + index0_ + 1 + (after_ ? 1 : 0);
  cursor_.emplace(rt, rt.new_iterator(std::move(remaining)));
  accept_ = nullptr;
  return *length_;
}

std::optional<Value> Loop::member(Runtime& rt, std::string_view name) {
  if (name == "index") return Value::integer(index0_ + 1);
  if (name == "index0") return Value::integer(index0_);
  if (name == "first") return Value::boolean(index0_ == 0);
  if (name == "last") return Value::boolean(!peek(rt));
  if (name == "length") return Value::integer(length(rt));
  if (name == "revindex") return Value::integer(length(rt) - index0_);
  if (name == "revindex0") return Value::integer(length(rt) - index0_ - 1);
  if (name == "depth") return Value::integer(depth0_ + 1);
  if (name == "depth0") return Value::integer(depth0_);
  if (name == "previtem") {
    return index0_ == 0 || !before_ ? Value::undefined("there is no previous item") : *before_;
  }
  if (name == "nextitem") {
    const auto& v = peek(rt);
    return v ? *v : Value::undefined("there is no next item");
  }
  return std::nullopt;
}

Value Loop::cycle(Runtime& rt, const std::vector<Value>& args) const {
  if (args.empty()) rt.type_error("no items for cycling given");
  return args[static_cast<size_t>(index0_) % args.size()];
}

bool Loop::changed(Runtime& rt, std::vector<Value> args) {
  bool same = last_changed_ && last_changed_->size() == args.size();
  for (size_t i = 0; same && i < args.size(); ++i) same = equals(rt, (*last_changed_)[i], args[i]);
  if (!same) last_changed_ = std::move(args);
  return !same;
}

}  // namespace turgo::jinja
