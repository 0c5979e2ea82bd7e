// The only place where an Error becomes a Python exception: the classes are turgo.errors'. Options are called
// by their Python names there: "quant_policy", where the command line says "--quant-policy".
#include "core/error.h"

#include <algorithm>

#include "bindings/bindings.h"
#include "bindings/options.h"

namespace turgo::python {
namespace {

const char* class_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "InvalidArgumentError";
    case ErrorCode::kNotFound:
      return "NotFoundError";
    case ErrorCode::kCorrupt:
      return "CorruptError";
    case ErrorCode::kUnsupported:
      return "UnsupportedError";
    case ErrorCode::kTooLong:
      return "TooLongError";
    case ErrorCode::kResourceExhausted:
      return "ResourceExhaustedError";
    case ErrorCode::kIo:
      return "InputOutputError";
    case ErrorCode::kCancelled:
      return "CancelledError";
  }
  return "TurgoError";
}

bool is_flag_char(char c) {
  return (c >= 'a' && c <= 'z') || c == '-';
}

std::string in_python_words(std::string text) {
  for (size_t at = text.find("--"); at != text.npos; at = text.find("--", at + 1)) {
    size_t end = at + 2;
    while (end < text.size() && is_flag_char(text[end])) ++end;
    std::string name = text.substr(at + 2, end - at - 2);
    std::replace(name.begin(), name.end(), '-', '_');
    if (is_option_name(name)) text.replace(at, end - at, name);
  }
  return text;
}

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    try {
      nb::object type = nb::module_::import_("turgo.errors").attr(class_name(error.code()));
      PyErr_SetString(type.ptr(), in_python_words(error.what()).c_str());
    } catch (nb::python_error& python) {  // the package itself is broken: say what of it is
      python.restore();
    }
  }
}

}  // namespace

void bind_errors(nb::module_&) {
  nb::register_exception_translator(translate);
}

}  // namespace turgo::python
