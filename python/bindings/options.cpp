#include "bindings/options.h"

#include <nanobind/stl/string.h>

#include <array>
#include <cmath>

#include "core/error.h"

namespace turgo::python {
namespace {

// What no flag carries. `standard` is Python text.
struct Extra {
  const char *name, *type, *standard, *help;
};
constexpr std::array kEngineExtras = {
    Extra{"enable_prefix_caching", "bool", "True", "keep the KV of prompts for requests that begin alike"},
};
constexpr std::array kGenerationExtras = {
    Extra{"stop_token_ids", "list[int]", "[]", "tokens that end the answer, beside the model's own"},
    Extra{"logit_bias", "dict[int, float]", "{}", "added to the logits of these tokens"},
    Extra{"max_seconds", "float", "0.0",
          "> 0: the answer ends after so many seconds, with finish_reason 'timeout'"},
    Extra{"priority", "int", "0", "smaller is served first"},
    Extra{"response_format", "dict[str, Any] | None", "None",
          "{'type': 'json_schema', 'json_schema': {'schema': …}}, 'json_object' or 'regex_schema': the "
          "answer's form"},
};

template <class T>
std::string python_type() {
  if constexpr (std::is_same_v<T, bool>) return "bool";
  if constexpr (std::is_same_v<T, std::string>) return "str";
  if constexpr (std::is_same_v<T, std::vector<std::string>>) return "list[str]";
  if constexpr (std::is_same_v<T, std::optional<int32_t>> || std::is_same_v<T, std::optional<uint64_t>>)
    return "int | None";
  return std::is_floating_point_v<T> ? "float" : "int";
}

// A float's default as people write it: 0.8, where its double would print 0.800000011920929.
nb::object default_of(const Option& option) {
  if (const auto* value = std::get_if<float*>(&option.target))
    return nb::float_(std::stod(fmt::format("{}", **value)));
  return from_json(option.to_json());
}

nb::dict describe(const Option& option) {
  nb::dict out;
  out["name"] = option.name;
  out["type"] = std::visit([](auto* value) { return python_type<std::remove_pointer_t<decltype(value)>>(); },
                           option.target);
  out["default"] = default_of(option);
  out["default_text"] = option.default_text();
  out["help"] = option.help;
  out["min"] = std::isfinite(option.min) ? nb::object(nb::float_(option.min)) : nb::none();
  out["max"] = std::isfinite(option.max) ? nb::object(nb::float_(option.max)) : nb::none();
  nb::list choices;
  for (const std::string& choice : option.choices_list) choices.append(choice.c_str());
  out["choices"] = choices;
  return out;
}

template <size_t kCount>
void describe_extras(nb::list& list, const std::array<Extra, kCount>& extras) {
  for (const Extra& extra : extras) {
    nb::dict out;
    for (auto [key, text] : {std::pair{"name", extra.name}, {"type", extra.type}, {"help", extra.help}})
      out[key] = text;
    out["default_code"] = extra.standard;
    list.append(out);
  }
}

nb::list describe_options(const std::string& which) {
  PipelineConfig engine;
  GenerationConfig generation;
  OptionList options;
  nb::list list;
  if (which == "engine")
    list_options(engine, options);
  else
    list_options(generation, options);
  for (const Option& option : options.options()) list.append(describe(option));
  if (which == "engine")
    describe_extras(list, kEngineExtras);
  else
    describe_extras(list, kGenerationExtras);
  return list;
}

// Takes a key out of the object, so that what is left are the option list's.
Json take(Json& object, const char* key) {
  auto it = object.find(key);
  if (it == object.end()) return nullptr;
  Json value = std::move(*it);
  object.erase(it);
  return value;
}

[[noreturn]] void wrong(const char* name, const char* expected, const Json& got) {
  fail(ErrorCode::kInvalidArgument, "{}: expected {}, got {}", name, expected, quote(got.dump()));
}

int32_t take_token(const char* name, const Json& id) {
  if (!id.is_number_integer() || id < 0 || id > INT32_MAX) wrong(name, "token ids, whole numbers >= 0", id);
  return id.get<int32_t>();
}

// Keys are ints in Python and strings in JSON.
std::pair<int32_t, float> bias_of(nb::handle key, nb::handle value) {
  nb::list one;
  one.append(key);
  Json bias = to_json(value, "logit_bias");
  if (!bias.is_number()) wrong("logit_bias", "numbers", bias);
  return {to_ids(one, "logit_bias")[0], bias.get<float>()};
}

void take_logit_bias(GenerationConfig& config, nb::dict& fields) {
  if (!fields.contains("logit_bias")) return;
  nb::object bias = fields["logit_bias"];
  nb::del(fields["logit_bias"]);
  if (bias.is_none()) return;
  if (!PyDict_Check(bias.ptr())) wrong("logit_bias", "a dict {token id: bias}", to_json(bias, "logit_bias"));
  for (auto [key, value] : nb::borrow<nb::dict>(bias)) config.logit_bias.push_back(bias_of(key, value));
}

std::optional<AskedGrammar> grammar_of(Json format) {
  if (format.is_null()) return std::nullopt;
  Json object = {{"response_format", std::move(format)}};
  try {
    Fields fields(object);
    return take_grammar(fields);
  } catch (const ApiError& error) {
    fail(ErrorCode::kInvalidArgument, "{}", error.message);
  }
}

}  // namespace

PipelineConfig engine_config(const nb::dict& given) {
  PipelineConfig config;
  Json fields = to_json(given, "the engine's configuration");
  Json prefix = take(fields, "enable_prefix_caching");
  if (!prefix.is_null() && !prefix.is_boolean()) wrong("enable_prefix_caching", "True or False", prefix);
  if (!prefix.is_null()) config.enable_prefix_caching = prefix.get<bool>();
  OptionList options;
  list_options(config, options);
  options.set_json(fields, "the engine's configuration");
  return config;
}

Generation::Generation(const nb::dict& given) {
  nb::dict copy;
  copy.update(given);
  take_logit_bias(config, copy);
  Json fields = to_json(copy, "the generation's configuration");
  Json ids = take(fields, "stop_token_ids"), seconds = take(fields, "max_seconds"),
       priority = take(fields, "priority");
  grammar = grammar_of(take(fields, "response_format"));
  if (!ids.is_null() && !ids.is_array()) wrong("stop_token_ids", "a list of token ids", ids);
  for (const Json& id : ids) config.stop_token_ids.push_back(take_token("stop_token_ids", id));
  if (!seconds.is_null()) {
    if (!seconds.is_number() || seconds < 0) wrong("max_seconds", "a number >= 0", seconds);
    config.max_seconds = seconds.get<double>();
  }
  if (!priority.is_null()) {
    if (!priority.is_number_integer() || priority < INT32_MIN || priority > INT32_MAX)
      wrong("priority", "a whole number", priority);
    config.priority = priority.get<int32_t>();
  }
  OptionList options;
  list_options(config, options);
  options.set_json(fields, "the generation's configuration");
}

bool is_option_name(const std::string& name) {
  PipelineConfig engine;
  GenerationConfig generation;
  OptionList engine_options, generation_options;
  list_options(engine, engine_options);
  list_options(generation, generation_options);
  return engine_options.find(name) || generation_options.find(name);
}

void bind_options(nb::module_& m) {
  m.def("describe_options", &describe_options, nb::arg("which"));
  m.def("check_engine_options", [](const nb::dict& fields) { engine_config(fields); }, nb::arg("fields"));
  nb::class_<Generation>(m, "Generation").def(nb::init<const nb::dict&>(), nb::arg("fields"));
}

}  // namespace turgo::python
