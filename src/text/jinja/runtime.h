// What one rendering owns and spends: the arena of its objects, its fuel, its live bytes and the current
// source line for error messages. Built-in functions get a Runtime and nothing else of the interpreter.
#pragma once

#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace turgo::jinja {

// Arguments of a call, as written.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// The text as one line of valid UTF-8 of at most about max_bytes, for error messages.
std::string one_line(std::string_view text, size_t max_bytes);

class Runtime {
 public:
  explicit Runtime(const Limits& with_limits) : limits(with_limits), steps_left_(with_limits.max_steps) {}
  virtual ~Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  const Limits limits;
  int line = 1;
  std::optional<std::tm> now;  // strftime_now(); the system's local time when absent

  // One line: "chat template, line N: …".
  [[noreturn]] void raise(ErrorCode code, const std::string& message) const;
  template <class... A>
  [[noreturn]] void type_error(fmt::format_string<A...> format, A&&... args) const {
    raise(ErrorCode::kInvalidArgument, fmt::format(format, std::forward<A>(args)...));
  }
  [[noreturn]] void out_of(const std::string& what) const;

  void step(size_t count = 1) {
    steps_left_ -= static_cast<int64_t>(count);
    if (steps_left_ < 0) out_of(fmt::format("{} steps", limits.max_steps));
  }
  void check_string(size_t size, size_t added);
  void check_repeat(size_t size, int64_t count);
  void check_value_depth(int depth) const;
  void adopt(Str& s);       // counts its bytes until it dies
  void grow(size_t bytes);  // bytes of objects, which live until the rendering ends

  Value new_list(std::vector<Value> items = {});
  Value new_tuple(std::vector<Value> items);
  Value new_dict();
  Value new_iterator(std::vector<Value> items, const char* type_name = "generator");
  Value new_view(Dict& dict, DictView::Part part);
  Value new_str(std::string text, bool input = false);
  template <class T>
  T* make() {
    grow(sizeof(T) + 16);
    auto owned = std::make_unique<T>();
    T* raw = owned.get();
    arena_.push_back(std::move(owned));
    return raw;
  }

  // Implemented by the interpreter.
  virtual Value call(const Value& callee, Args args) = 0;
  virtual Value apply_filter(const std::string& name, const Value& value, Args args) = 0;
  virtual bool apply_test(const std::string& name, const Value& value, Args args) = 0;

 private:
  int64_t steps_left_;
  size_t live_bytes_ = 0;
  std::vector<std::unique_ptr<Object>> arena_;
};

}  // namespace turgo::jinja
