#include "serve/openapi/field_schema.h"

#include <algorithm>

namespace turgo {
namespace {

Json or_null(Json schema) {
  if (schema.empty()) return schema;  // {} allows it already
  if (schema.size() > 0 && schema.contains("type") && schema["type"].is_string() &&
      !schema.contains("enum")) {
    schema["type"] = Json::array({schema["type"], "null"});
    return schema;
  }
  return {{"anyOf", Json::array({std::move(schema), {{"type", "null"}}})}};
}

}  // namespace

// A field that is read under several conditions keeps its first, wider schema.
void FieldSchema::add(const std::string& name, Json schema) {
  if (!properties_.contains(name) || properties_[name].empty()) properties_[name] = std::move(schema);
}

Json FieldSchema::to_json() const {
  Json properties = Json::object();
  for (const auto& [name, schema] : properties_.items()) {
    bool is_required = std::find(required_.begin(), required_.end(), name) != required_.end();
    properties[name] = is_required ? schema : or_null(schema);
  }
  Json out = {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (!required_.empty()) out["required"] = required_;
  for (const auto& names : one_of_) {
    Json any = Json::array();
    for (const std::string& name : names)
      any.push_back({{"required", {name}}, {"properties", {{name, {{"not", {{"type", "null"}}}}}}}});
    out["allOf"].push_back({{"anyOf", std::move(any)}});
  }
  return out;
}

}  // namespace turgo
