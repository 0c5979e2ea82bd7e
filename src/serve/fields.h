// A request's JSON object, read field by field. Every field must be taken, named as harmless or refused: what
// nobody asked for is an error at the end, so no field that would change an answer is dropped silently.
// null counts as absent, as OpenAI's clients send it.
//
// The same calls make the API's description: with a FieldSchema, Fields notes what it is asked for, and
// finish() throws SchemaRecorded. So a function that reads a request takes all of its fields, calls finish(),
// and only then looks at a model or judges what it got.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/options.h"
#include "serve/api_error.h"
#include "serve/openapi/field_schema.h"

namespace turgo {

// Throws ApiError 400. At most 64 levels and 1,024 keys per object.
Json parse_body(std::string_view body);
struct Call;
Json parse_optional_body(const Call& call);  // {} for an empty one

class Fields {
 public:
  using SchemaOf = Json (*)();  // of a value that is looked into later

  explicit Fields(const Json& object, std::string prefix = "");  // ApiError if it is no object
  Fields(const Json& object, FieldSchema* schema);               // a route's body; `schema`: Call's

  // The schema of what `read` takes.
  static Json schema_of(const std::function<void(Fields&)>& read);

  const Json* take(const std::string& name, SchemaOf schema = nullptr);  // nullptr: absent or null
  // ApiError where it is absent; nullptr only while a description is made.
  const Json* need(const std::string& name, const char* expected, SchemaOf schema = nullptr);
  // ApiError if none of them is there.
  void need_one_of(const std::vector<std::string>& names);
  // An object with fields of its own, if it is there; finish() comes after `read`.
  void object(const std::string& name, const std::function<void(Fields&)>& read);
  // All leave `value` alone if the field is absent; all throw ApiError 400 naming the field.
  void number(const std::string& name, float& value, double min, double max);
  void number(const std::string& name, double& value, double min, double max);
  void integer(const std::string& name, int32_t& value, int32_t min, int32_t max);
  void integer(const std::string& name, int64_t& value, int64_t min, int64_t max);
  void flag(const std::string& name, bool& value);
  void text(const std::string& name, std::string& value);
  void choice(const std::string& name, std::string& value, const std::vector<std::string>& choices);
  void texts(const std::string& name, std::vector<std::string>& value);  // one string counts as a list
  void ids(const std::string& name, std::vector<int32_t>& value);
  void harmless(std::initializer_list<const char*> names);
  // Present with another value than `standard`: 400.
  void refuse(const std::string& name, const Json& standard, const std::string& why);
  void finish() const;  // 400 for a field that nobody took

 private:
  [[noreturn]] void wrong(const std::string& name, const std::string& expected, const Json& got) const;
  const Json& object_;
  std::string prefix_;
  FieldSchema* schema_ = nullptr;
  std::vector<std::string> known_;
};

std::string shown(const Json& value);  // cut for an error message

}  // namespace turgo
