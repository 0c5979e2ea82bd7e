// What a route asks its Fields for, as the JSON Schema of its body: the API's description is made by running
// the functions that read requests, so it can not differ from them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/options.h"

namespace turgo {

// Thrown by Fields::finish() while a description is made; the route goes no further.
struct SchemaRecorded {};

class FieldSchema {
 public:
  void add(const std::string& name, Json schema);
  void require(const std::string& name) { required_.push_back(name); }
  void require_one_of(const std::vector<std::string>& names) { one_of_.push_back(names); }
  void make_body_optional() { is_optional_ = true; }

  bool is_optional() const { return is_optional_; }
  Json to_json() const;  // absent fields may be null, unknown ones are refused

 private:
  Json properties_ = Json::object();
  std::vector<std::string> required_;
  std::vector<std::vector<std::string>> one_of_;
  bool is_optional_ = false;
};

}  // namespace turgo
