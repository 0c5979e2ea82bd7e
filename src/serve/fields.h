// A request's JSON object, read field by field. Every field must be taken, named as harmless or refused: what
// nobody asked for is an error at the end, so no field that would change an answer is dropped silently.
// null counts as absent, as OpenAI's clients send it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/options.h"
#include "serve/api_error.h"

namespace turgo {

// Throws ApiError 400. At most 64 levels and 1,024 keys per object.
Json parse_body(std::string_view body);

class Fields {
 public:
  explicit Fields(const Json& object, std::string prefix = "");  // ApiError if it is no object

  const Json* take(const std::string& name);  // nullptr: absent or null
  // All leave `value` alone if the field is absent; all throw ApiError 400 naming the field.
  void number(const std::string& name, float& value, double min, double max);
  void number(const std::string& name, double& value, double min, double max);
  void integer(const std::string& name, int32_t& value, int32_t min, int32_t max);
  void integer(const std::string& name, int64_t& value, int64_t min, int64_t max);
  void flag(const std::string& name, bool& value);
  void text(const std::string& name, std::string& value);
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
  std::vector<std::string> known_;
};

std::string shown(const Json& value);  // cut for an error message

}  // namespace turgo
