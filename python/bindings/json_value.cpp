// Values between Python and JSON, with errors that name the place in the value: "messages[1].content".
#include <nanobind/stl/string.h>

#include <cmath>

#include "bindings/bindings.h"
#include "core/error.h"

namespace turgo::python {
namespace {

constexpr int kMaxDepth = 64;

std::string type_of(nb::handle value) {
  return nb::cast<std::string>(nb::borrow<nb::str>(nb::handle(value.type()).attr("__name__")));
}

[[noreturn]] void wrong(const std::string& what, const char* expected, nb::handle got) {
  std::string shown = type_of(got);
  try {
    shown = fmt::format("{} {}", shown, quote(nb::cast<std::string>(nb::repr(got))));
  } catch (const std::exception&) {  // an object that can not be printed: its type has to do
    PyErr_Clear();
  }
  fail(ErrorCode::kInvalidArgument, "{}: expected {}, got {}", what, expected, shown);
}

// What counts as a whole number: int and numpy's integers, not bool and not float.
bool is_integer(nb::handle value) {
  return !PyBool_Check(value.ptr()) && PyIndex_Check(value.ptr()) && !PySequence_Check(value.ptr());
}

// nullopt-like: false if it does not fit 64 bits.
bool to_int64(nb::handle value, int64_t& out) {
  nb::object number = nb::steal(PyNumber_Index(value.ptr()));
  if (!number.is_valid()) {
    PyErr_Clear();
    return false;
  }
  int overflow = 0;
  out = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  return overflow == 0;
}

Json number_to_json(nb::handle value, const std::string& what) {
  int64_t number = 0;
  if (to_int64(value, number)) return number;
  nb::object index = nb::steal(PyNumber_Index(value.ptr()));
  uint64_t big = index.is_valid() ? PyLong_AsUnsignedLongLong(index.ptr()) : 0;
  if (PyErr_Occurred()) {
    PyErr_Clear();
    fail(ErrorCode::kInvalidArgument, "{}: expected a whole number of at most 64 bits, got {}", what,
         quote(nb::cast<std::string>(nb::repr(value))));
  }
  return big;
}

Json convert(nb::handle value, const std::string& what, int depth) {
  if (depth > kMaxDepth)
    fail(ErrorCode::kInvalidArgument, "{}: expected at most {} levels of lists and dicts", what, kMaxDepth);
  if (value.is_none()) return nullptr;
  if (PyBool_Check(value.ptr())) return value.ptr() == Py_True;
  if (PyUnicode_Check(value.ptr())) return to_text(value, what);
  if (PyFloat_Check(value.ptr())) {
    double number = PyFloat_AsDouble(value.ptr());
    if (!std::isfinite(number)) wrong(what, "a finite number", value);
    return number;
  }
  if (PyDict_Check(value.ptr())) {
    Json object = Json::object();
    for (auto [key, item] : nb::borrow<nb::dict>(value)) {
      std::string name = to_text(key, what + ", a key");
      object[name] = convert(item, what + "." + quote(name), depth + 1);
    }
    return object;
  }
  if (PyList_Check(value.ptr()) || PyTuple_Check(value.ptr())) {
    Json list = Json::array();
    size_t i = 0;
    for (nb::handle item : value) list.push_back(convert(item, fmt::format("{}[{}]", what, i++), depth + 1));
    return list;
  }
  if (is_integer(value)) return number_to_json(value, what);
  if (PyNumber_Check(value.ptr()) && PyObject_HasAttrString(value.ptr(), "__float__")) {  // numpy's floats
    nb::object number = nb::steal(PyNumber_Float(value.ptr()));
    if (number.is_valid()) return convert(number, what, depth + 1);
    PyErr_Clear();
  }
  wrong(what, "text, a number, a bool, None, a list or a dict", value);
}

}  // namespace

std::string to_text(nb::handle value, const std::string& what) {
  if (!PyUnicode_Check(value.ptr())) wrong(what, "str", value);
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (!data) {
    PyErr_Clear();
    fail(ErrorCode::kInvalidArgument,
         "{}: expected text that is valid Unicode, got a lone surrogate; "
         "text.encode('utf-8', 'replace').decode() replaces it",
         what);
  }
  return {data, static_cast<size_t>(size)};
}

std::vector<int32_t> to_ids(nb::handle value, const std::string& what) {
  if (!PyList_Check(value.ptr()) && !PyTuple_Check(value.ptr())) wrong(what, "a list of token ids", value);
  std::vector<int32_t> ids;
  ids.reserve(nb::len(value));
  for (nb::handle item : value) {
    int64_t id = 0;
    if (!is_integer(item) || !to_int64(item, id) || id < 0 || id > INT32_MAX)
      wrong(fmt::format("{}[{}]", what, ids.size()), "a token id, a whole number >= 0", item);
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

Json to_json(nb::handle value, const std::string& what) {
  return convert(value, what, 0);
}

nb::object from_json(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return nb::none();
    case Json::value_t::boolean:
      return nb::bool_(value.get<bool>());
    case Json::value_t::number_integer:
      return nb::int_(value.get<int64_t>());
    case Json::value_t::number_unsigned:
      return nb::int_(value.get<uint64_t>());
    case Json::value_t::number_float:
      return nb::float_(value.get<double>());
    case Json::value_t::string:
      return nb::str(value.get_ref<const std::string&>().c_str(), value.get_ref<const std::string&>().size());
    case Json::value_t::array: {
      nb::list list;
      for (const Json& item : value) list.append(from_json(item));
      return list;
    }
    case Json::value_t::object: {
      nb::dict dict;
      for (const auto& [key, item] : value.items()) dict[nb::str(key.c_str(), key.size())] = from_json(item);
      return dict;
    }
    default:
      CHECK(false, "a JSON value of type {}", value.type_name());
  }
}

}  // namespace turgo::python
