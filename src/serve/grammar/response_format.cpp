#include "serve/grammar/response_format.h"

#include <vector>

#include "serve/generation.h"

namespace turgo {
namespace {

using Kind = GrammarSpec::Kind;

constexpr const char* kAnyObject = R"({"type": "object"})";
constexpr size_t kMaxChoices = 1000;

std::string text_of(const Json& value, const std::string& field) {
  if (!value.is_string()) bad_field(field, "expected a string, got {}", shown(value));
  if (value.get_ref<const std::string&>().empty()) bad_field(field, "is empty");
  return value.get<std::string>();
}

GrammarSpec schema_spec(const Json& value, const std::string& field, bool is_strict) {
  Json schema = value;
  if (value.is_string()) {
    try {
      schema = parse_body(value.get<std::string>());
    } catch (const ApiError& error) {
      bad_field(field, "{}", error.message);
    }
  }
  check_schema(schema, field);
  return {is_strict ? Kind::kJsonSchema : Kind::kLooseJsonSchema, schema.dump()};
}

GrammarSpec choice_spec(const Json& value, const std::string& field) {
  if (!value.is_array() || value.empty() || value.size() > kMaxChoices)
    bad_field(field, "expected a list of 1 to {} strings, got {}", kMaxChoices, shown(value));
  std::string rules = "root ::= ";
  for (const Json& one : value) {
    if (&one != &value.front()) rules += " | ";
    rules += Json(text_of(one, field)).dump(-1, ' ', true);  // a JSON string is one of the grammar's too
  }
  return {Kind::kEbnf, rules};
}

Json schema_schema() {
  return {{"type", Json::array({"object", "boolean", "string"})}};
}
Json text_schema() {
  return {{"type", "string"}, {"minLength", 1}};
}
Json choice_schema() {
  return {{"type", "array"}, {"items", text_schema()}, {"minItems", 1}, {"maxItems", kMaxChoices}};
}
Fields::SchemaOf schema_of_name(const std::string& name) {
  return name == "json" ? schema_schema : name == "choice" ? choice_schema : text_schema;
}

struct NamedSchema {
  const Json* schema = nullptr;
  bool is_strict = true;
};
NamedSchema read_named_schema(Fields& f) {
  NamedSchema out;
  out.schema = f.need("schema", "a JSON schema", schema_schema);
  f.flag("strict", out.is_strict);
  f.harmless({"name", "description"});
  f.finish();
  return out;
}

struct ResponseFormat {
  std::string type;
  const Json *schema = nullptr, *direct = nullptr, *regex = nullptr;
};
ResponseFormat read_response_format(Fields& f) {
  ResponseFormat r;
  f.need("type", "text, json_object or json_schema");
  f.choice("type", r.type, {"text", "json_object", "json_schema", "regex_schema"});
  r.schema = f.take("json_schema", [] { return Fields::schema_of(read_named_schema); });
  r.direct = f.take("schema", schema_schema);  // llama.cpp's place for it
  r.regex = f.take("regex_schema", text_schema);
  f.finish();
  return r;
}

GrammarSpec from_response_format(const Json& value, bool& is_none) {
  Fields f(value, "response_format.");
  auto [type, schema, direct, regex] = read_response_format(f);
  if (type == "text") {
    is_none = true;
    return {};
  }
  if (type == "json_object")
    return direct ? schema_spec(*direct, "response_format.schema", true)
                  : GrammarSpec{Kind::kLooseJsonSchema, kAnyObject};
  if (type == "json_schema") {
    if (!schema) bad_field("response_format.json_schema", "is missing");
    Fields s(*schema, "response_format.json_schema.");
    NamedSchema named = read_named_schema(s);
    return schema_spec(*named.schema, "response_format.json_schema.schema", named.is_strict);
  }
  if (!regex) bad_field("response_format.regex_schema", "is missing");
  return {Kind::kRegex, text_of(*regex, "response_format.regex_schema")};
}

GrammarSpec from_name(const std::string& name, const Json& value, const std::string& field) {
  if (name == "json") return schema_spec(value, field, true);
  if (name == "regex") return {Kind::kRegex, text_of(value, field)};
  if (name == "grammar") return {Kind::kEbnf, text_of(value, field)};
  return choice_spec(value, field);
}

// What XGrammar passes over without a word: an answer would not be held to it.
constexpr const char* kNotEnforced[] = {"not",           "if",
                                        "then",          "else",
                                        "contains",      "dependentRequired",
                                        "$dynamicRef",   "dependentSchemas",
                                        "$recursiveRef", "dependencies"};

void check_keywords(const Json& schema, const std::string& field) {
  if (!schema.is_object()) return;
  for (const char* word : kNotEnforced)
    if (schema.contains(word)) bad_field(field, "the keyword {} can not be enforced", quote(word));
  if (schema.value("uniqueItems", Json()) == true) bad_field(field, "uniqueItems can not be enforced");
  for (const auto& [key, value] : schema.items()) {
    if (key == "$ref" && value.is_string() && !value.get_ref<const std::string&>().starts_with('#'))
      bad_field(field, "$ref {}: expected a place in this schema, '#/…'; no other one is fetched",
                quote(value.get_ref<const std::string&>(), 80));
    bool is_map = key == "properties" || key == "patternProperties" || key == "$defs" || key == "definitions";
    bool is_schema = key == "items" || key == "additionalProperties" || key == "additionalItems" ||
                     key == "propertyNames" || key == "unevaluatedProperties" || key == "unevaluatedItems";
    bool is_list =
        key == "anyOf" || key == "oneOf" || key == "allOf" || key == "prefixItems" || key == "items";
    if ((is_map && value.is_object()) || (is_list && value.is_array()))
      for (const Json& one : value) check_keywords(one, field);
    else if (is_schema)
      check_keywords(value, field);
  }
}

}  // namespace

void check_schema(const Json& schema, const std::string& field) {
  if (!schema.is_object() && !schema.is_boolean())
    bad_field(field, "expected a JSON schema, an object, got {}", shown(schema));
  check_keywords(schema, field);  // at most 64 deep: the body was
}

std::optional<AskedGrammar> take_grammar(Fields& fields) {
  std::vector<AskedGrammar> asked;
  auto format_schema = [] { return Fields::schema_of(read_response_format); };
  if (const Json* value = fields.take("response_format", format_schema)) {
    bool is_none = false;
    GrammarSpec spec = from_response_format(*value, is_none);
    if (!is_none) asked.push_back({"response_format", std::move(spec)});
  }
  for (const char* name : {"json", "regex", "grammar", "choice"}) {
    std::string field = std::string("guided_") + name;
    if (const Json* value = fields.take(field, schema_of_name(name)))
      asked.push_back({field, from_name(name, *value, field)});
  }
  bool any_object = false;
  fields.object("structured_outputs", [&](Fields& s) {
    for (const char* name : {"json", "regex", "grammar", "choice"}) {
      std::string field = std::string("structured_outputs.") + name;
      if (const Json* one = s.take(name, schema_of_name(name)))
        asked.push_back({field, from_name(name, *one, field)});
    }
    s.flag("json_object", any_object);
  });
  if (any_object) asked.push_back({"structured_outputs.json_object", {Kind::kLooseJsonSchema, kAnyObject}});
  if (const Json* value = fields.take("grammar", text_schema))
    asked.push_back({"grammar", from_name("grammar", *value, "grammar")});
  if (const Json* value = fields.take("json_schema", schema_schema))
    asked.push_back({"json_schema", from_name("json", *value, "json_schema")});
  if (asked.size() > 1)
    bad_field(asked[1].field, "the answer's form is said twice, also by {}; expected one of them",
              asked[0].field);
  if (asked.empty()) return std::nullopt;
  return std::move(asked.front());
}

std::shared_ptr<const TokenGrammar> compile_grammar(Grammars& compiler, const AskedGrammar& asked) {
  try {
    return compiler.compile(asked.spec);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kResourceExhausted) throw ApiError(503, error.what(), asked.field, "busy");
    throw ApiError(400, asked.field + ": " + error.what(), asked.field, "invalid_grammar");
  }
}

}  // namespace turgo
