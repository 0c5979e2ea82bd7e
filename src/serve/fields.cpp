#include "serve/fields.h"

#include <algorithm>
#include <cmath>

#include "core/json.h"
#include "io/json_file.h"
#include "serve/routes.h"

namespace turgo {

namespace {

// Sees a document go by and throws ApiError at a key that one object has twice: which of its values counts is
// anybody's guess.
class TwinKeys : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override { return false; }
  bool start_object(size_t) override { return open_.emplace_back(), true; }
  bool key(string_t& name) override { return open_.back().push_back(name), true; }
  bool end_object() override {
    std::vector<std::string>& keys = open_.back();
    std::sort(keys.begin(), keys.end());
    auto twin = std::adjacent_find(keys.begin(), keys.end());
    if (twin != keys.end())
      throw ApiError(400, fmt::format("the request's body: the key {} is there twice", quote(*twin, 80)),
                     twin->substr(0, 100), "invalid_json");
    open_.pop_back();
    return true;
  }

 private:
  std::vector<std::vector<std::string>> open_;  // the keys of each object that is open
};

}  // namespace

Json parse_body(std::string_view body) {
  try {
    check_json_size(body, "the request's body", 64, 1024);
    Json json = parse_json(body, "the request's body", 64);
    TwinKeys twins;
    Json::sax_parse(body.begin(), body.end(), &twins);
    return json;
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "", "invalid_json");
  }
}

Json parse_optional_body(const Call& call) {
  if (call.schema) call.schema->make_body_optional();
  return call.request.body.empty() ? Json::object() : parse_body(call.request.body);
}

std::string shown(const Json& value) {
  if (value.is_array() || value.is_object())
    return fmt::format("{} of {} elements", value.is_array() ? "a list" : "an object", value.size());
  return quote(value.dump(-1, ' ', false, Json::error_handler_t::replace), 40);
}

Fields::Fields(const Json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {
  if (object.is_object()) return;
  std::string name = prefix_.substr(0, prefix_.find_last_not_of('.') + 1);
  throw ApiError(400,
                 fmt::format("{}: expected a JSON object, got {}", name.empty() ? "the request's body" : name,
                             shown(object)),
                 name, "invalid_type");
}

Fields::Fields(const Json& object, FieldSchema* schema) : Fields(object) {
  schema_ = schema;
}

Json Fields::schema_of(const std::function<void(Fields&)>& read) {
  FieldSchema schema;
  const Json none = Json::object();
  Fields fields(none, &schema);
  try {
    read(fields);
    fields.finish();
  } catch (const SchemaRecorded&) {
  }
  return schema.to_json();
}

void Fields::wrong(const std::string& name, const std::string& expected, const Json& got) const {
  bad_field(prefix_ + name, "expected {}, got {}", expected, shown(got));
}

const Json* Fields::take(const std::string& name, SchemaOf schema) {
  known_.push_back(name);
  if (schema_) schema_->add(name, schema ? schema() : Json::object());
  auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json* Fields::need(const std::string& name, const char* expected, SchemaOf schema) {
  const Json* json = take(name, schema);
  if (schema_)
    schema_->require(name);
  else if (!json)
    bad_field(prefix_ + name, "is missing; expected {}", expected);
  return json;
}

void Fields::need_one_of(const std::vector<std::string>& names) {
  if (schema_) return schema_->require_one_of(names);
  std::string list;
  for (const std::string& name : names) {
    if (auto found = object_.find(name); found != object_.end() && !found->is_null()) return;
    list += (list.empty() ? "" : name == names.back() ? " or " : ", ") + name;
  }
  bad_field(prefix_ + names.front(), "is missing; expected {}", list);
}

void Fields::object(const std::string& name, const std::function<void(Fields&)>& read) {
  if (schema_) schema_->add(name, schema_of(read));
  const Json* json = take(name);
  if (!json) return;
  Fields inner(*json, prefix_ + name + ".");
  read(inner);
  inner.finish();
}

void Fields::number(const std::string& name, double& value, double min, double max) {
  if (schema_) schema_->add(name, {{"type", "number"}, {"minimum", min}, {"maximum", max}});
  const Json* json = take(name);
  if (!json) return;
  double number = json->is_number() ? json->get<double>() : NAN;
  if (!(number >= min && number <= max)) wrong(name, fmt::format("a number from {} to {}", min, max), *json);
  value = number;
}

void Fields::number(const std::string& name, float& value, double min, double max) {
  double wide = static_cast<double>(value);
  number(name, wide, min, max);
  value = static_cast<float>(wide);
}

void Fields::integer(const std::string& name, int64_t& value, int64_t min, int64_t max) {
  if (schema_) schema_->add(name, {{"type", "integer"}, {"minimum", min}, {"maximum", max}});
  const Json* json = take(name);
  if (!json) return;
  double number = json->is_number() ? json->get<double>() : NAN;
  bool whole = number == std::floor(number) && std::abs(number) < 9e18;
  bool exact =
      json->is_number_integer() && !(json->is_number_unsigned() && json->get<uint64_t>() > INT64_MAX);
  int64_t integer = exact ? json->get<int64_t>() : whole ? static_cast<int64_t>(number) : 0;
  if (!whole || integer < min || integer > max)
    wrong(name, fmt::format("a whole number from {} to {}", min, max), *json);
  value = integer;
}

void Fields::integer(const std::string& name, int32_t& value, int32_t min, int32_t max) {
  int64_t wide = value;
  integer(name, wide, int64_t{min}, int64_t{max});
  value = static_cast<int32_t>(wide);
}

void Fields::flag(const std::string& name, bool& value) {
  if (schema_) schema_->add(name, {{"type", "boolean"}});
  const Json* json = take(name);
  if (!json) return;
  if (!json->is_boolean()) wrong(name, "true or false", *json);
  value = json->get<bool>();
}

void Fields::text(const std::string& name, std::string& value) {
  if (schema_) schema_->add(name, {{"type", "string"}});
  const Json* json = take(name);
  if (!json) return;
  if (!json->is_string()) wrong(name, "a string", *json);
  value = json->get<std::string>();
}

void Fields::choice(const std::string& name, std::string& value, const std::vector<std::string>& choices) {
  if (schema_) schema_->add(name, {{"enum", choices}});
  const Json* json = take(name);
  if (!json) return;
  bool fits = json->is_string() && std::find(choices.begin(), choices.end(), *json) != choices.end();
  if (!fits) {
    std::string list;
    for (const std::string& one : choices) list += (list.empty() ? "" : ", ") + one;
    wrong(name, list, *json);
  }
  value = json->get<std::string>();
}

void Fields::texts(const std::string& name, std::vector<std::string>& value) {
  if (schema_)
    schema_->add(name, {{"type", Json::array({"string", "array"})}, {"items", {{"type", "string"}}}});
  const Json* json = take(name);
  if (!json) return;
  value.clear();
  if (json->is_string()) {
    value.push_back(json->get<std::string>());
    return;
  }
  if (!json->is_array()) wrong(name, "a string or a list of strings", *json);
  for (const Json& one : *json) {
    if (!one.is_string()) wrong(name, "a list of strings", one);
    value.push_back(one.get<std::string>());
  }
}

void Fields::ids(const std::string& name, std::vector<int32_t>& value) {
  if (schema_)
    schema_->add(
        name, {{"type", "array"}, {"items", {{"type", "integer"}, {"minimum", 0}, {"maximum", INT32_MAX}}}});
  const Json* json = take(name);
  if (!json) return;
  if (!json->is_array()) wrong(name, "a list of token ids", *json);
  value.clear();
  value.reserve(json->size());
  for (const Json& one : *json) {
    bool fits = one.is_number_integer() && one.get<double>() >= 0 && one.get<double>() <= INT32_MAX;
    if (!fits) wrong(name, "token ids, whole numbers of 0 and more", one);
    value.push_back(one.get<int32_t>());
  }
}

void Fields::harmless(std::initializer_list<const char*> names) {
  known_.insert(known_.end(), names.begin(), names.end());
  if (!schema_) return;
  for (const char* name : names) schema_->add(name, Json::object());
}

void Fields::refuse(const std::string& name, const Json& standard, const std::string& why) {
  if (schema_) schema_->add(name, {{"enum", Json::array({standard})}});
  const Json* json = take(name);
  if (json && *json != standard)
    throw ApiError(400, prefix_ + name + ": " + why, prefix_ + name, "unsupported_parameter");
}

void Fields::finish() const {
  if (schema_) throw SchemaRecorded{};
  for (const auto& [name, value] : object_.items()) {
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    std::string close = closest_name(name, known_);
    throw ApiError(400,
                   fmt::format("unknown field {}{}", quote(prefix_ + name),
                               close.empty() ? "" : "; did you mean '" + close + "'?"),
                   (prefix_ + name).substr(0, 100), "unknown_parameter");
  }
}

}  // namespace turgo
