// The `loop` variable: walks an iterable one element ahead at most, as jinja2's LoopContext does, so that
// filters of the loop see the variables as they are when an element is asked for.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace turgo::jinja {

class Runtime;
struct Scope;
struct Stmt;

// Elements of a value, one at a time. A list that grows while it is walked shows its new elements, as in
// Python.
class Cursor {
 public:
  Cursor(Runtime& rt, const Value& source);
  std::optional<Value> next(Runtime& rt);

 private:
  Value source_;
  std::vector<Value> copy_;
  size_t at_ = 0;
};

class Loop : public Object {
 public:
  using Accept = std::function<bool(const Value&)>;

  // `accept` is the loop's inline `if`, or null.
  void start(Runtime& rt, const Value& source, Accept accept, int depth0);
  std::optional<Value> advance(Runtime& rt);
  std::optional<Value> member(Runtime& rt, std::string_view name);
  Value cycle(Runtime& rt, const std::vector<Value>& args) const;
  bool changed(Runtime& rt, std::vector<Value> args);
  int depth0() const { return depth0_; }

  // Set for recursive loops.
  const Stmt* node = nullptr;
  Scope* scope = nullptr;

 private:
  std::optional<Value> pull(Runtime& rt);
  const std::optional<Value>& peek(Runtime& rt);
  int64_t length(Runtime& rt);

  std::optional<Cursor> cursor_;
  Accept accept_;
  std::optional<int64_t> length_;
  std::optional<Value> before_, current_, after_;
  int64_t index0_ = -1;
  int depth0_ = 0;
  std::optional<std::vector<Value>> last_changed_;
};

}  // namespace turgo::jinja
