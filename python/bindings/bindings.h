// turgo._turgo: the thin layer between the C++ pipeline and the Python package, which gives it its shape.
//   Strings are UTF-8, configurations are dicts with the names of the option lists, arrays are numpy's.
//   Every wait and every computation releases the interpreter lock; no engine thread ever takes it.
//   After a fork nothing here works in the child, and says so: the engine's threads are the parent's.
#pragma once

#include <nanobind/nanobind.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "core/json.h"

namespace turgo::python {

namespace nb = nanobind;

// Python value -> JSON, at most 64 deep. Throws Error{kInvalidArgument} that begins with `what`.
Json to_json(nb::handle value, const std::string& what);
nb::object from_json(const Json& value);
// str -> UTF-8. Throws Error{kInvalidArgument} for other types and for lone surrogates.
std::string to_text(nb::handle value, const std::string& what);
// A sequence of whole numbers that fit int32.
std::vector<int32_t> to_ids(nb::handle value, const std::string& what);

// The process that made an object. A child may neither use it nor run its destructor, which would wait for
// threads that do not exist there.
class Birthplace {
 public:
  bool is_here() const { return pid_ == getpid(); }
  void require(const char* what) const;  // throws Error{kUnsupported}

 private:
  pid_t pid_ = getpid();
};

void bind_errors(nb::module_& m);
void bind_options(nb::module_& m);
void bind_tokenizer(nb::module_& m);
void bind_model(nb::module_& m);
void bind_answers(nb::module_& m);

}  // namespace turgo::python
