#include "text/chat_template_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace turgo {

namespace {

using Json = nlohmann::ordered_json;

// A Jinja string literal that stands for `text`.
std::string literal(const std::string& text) {
  std::string out(1, '\'');
  for (char c : text) {
    if (c == '\'' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  out += '\'';
  return out;
}

std::string text_of(const Json& value, const std::string& key) {
  if (value.is_null()) return {};
  if (!value.is_string()) {
    fail(ErrorCode::kInvalidArgument, "chat template config: '{}' must be a string, got {}", key,
         value.type_name());
  }
  return value.get<std::string>();
}

std::vector<std::string> stop_words_of(const Json& value) {
  std::vector<std::string> words;
  if (value.is_null()) return words;
  bool strings = value.is_array() &&
                 std::all_of(value.begin(), value.end(), [](const Json& w) { return w.is_string(); });
  if (!strings)
    fail(ErrorCode::kInvalidArgument, "chat template config: 'stop_words' must be a list of strings");
  for (const Json& word : value) words.push_back(word.get<std::string>());
  return words;
}

}  // namespace

ChatTemplateConfig read_chat_template_config(const Json& json) {
  if (!json.is_object()) {
    fail(ErrorCode::kInvalidArgument, "chat template config: expected a JSON object, got {}",
         json.type_name());
  }
  ChatTemplateConfig config;
  if (json.contains("model_name")) {
    std::string name = text_of(json["model_name"], "model_name");
    if (auto known = builtin_chat_template_config(name)) config = *known;
  }
  for (const auto& [key, value] : json.items()) {
    if (key == "model_name" || key == "capability") continue;
    if (key == "stop_words") {
      config.stop_words = stop_words_of(value);
    } else if (key == "meta_instruction") {
      config.meta_instruction = value.is_null() ? std::nullopt : std::optional(text_of(value, key));
    } else if (key == "system") {
      config.system = text_of(value, key);
    } else if (key == "eosys") {
      config.eosys = text_of(value, key);
    } else if (key == "user") {
      config.user = text_of(value, key);
    } else if (key == "eoh") {
      config.eoh = text_of(value, key);
    } else if (key == "assistant") {
      config.assistant = text_of(value, key);
    } else if (key == "eoa") {
      config.eoa = text_of(value, key);
    } else if (key == "separator") {
      config.separator = text_of(value, key);
    } else {
      fail(ErrorCode::kInvalidArgument,
           "chat template config: unknown key {}; known are model_name, system, meta_instruction, eosys, "
           "user, eoh, "
           "assistant, eoa, separator, capability, stop_words",
           quote(key));
    }
  }
  return config;
}

std::string to_jinja(const ChatTemplateConfig& config) {
  std::string opening = config.assistant;
  opening.erase(opening.find_last_not_of(' ') + 1);
  std::string out =
      "{%- macro text(content) -%}\n"
      "{%- if content is string -%}{{- content -}}\n"
      "{%- else -%}{%- for part in content or [] -%}{{- part.text if part.text is defined -}}{%- endfor -%}\n"
      "{%- endif -%}{%- endmacro -%}\n";
  if (config.begins_with_bos) out += "{{- bos_token -}}\n";
  if (config.meta_instruction) {
    out +=
        fmt::format("{{%- if messages and messages[0].role != 'system' -%}}{{{{- {} -}}}}{{%- endif -%}}\n",
                    literal(config.system + *config.meta_instruction + config.eosys));
  }
  auto around = [](const std::string& before, const std::string& after) {
    return fmt::format("{{{{- {} ~ text(message.content) ~ {} -}}}}\n", literal(before), literal(after));
  };
  out += "{%- for message in messages -%}\n";
  out += "{%- if message.role in ['system', 'developer'] -%}" + around(config.system, config.eosys);
  out += "{%- elif message.role == 'assistant' -%}" + around(config.assistant, config.eoa + config.separator);
  out += "{%- elif message.role in ['user', 'tool'] -%}" + around(config.user, config.eoh);
  out +=
      "{%- else -%}{{- raise_exception('this chat template has no role \\'' ~ message.role ~ '\\'') -}}{%- "
      "endif -%}\n";
  out += "{%- endfor -%}\n";
  out += fmt::format("{{%- if add_generation_prompt -%}}{{{{- {} -}}}}{{%- endif -%}}\n", literal(opening));
  return out;
}

}  // namespace turgo
