#include "io/model_assets.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/json_file.h"

namespace fs = std::filesystem;

namespace turgo {
namespace {

constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
constexpr size_t kMaxTokenizerConfigBytes = size_t{16} << 20;
constexpr size_t kMaxNamedTemplates = 64;

using PlainJson = nlohmann::json;

// The path if a file is there under that name (or a link to one, even a broken one: opening it words the
// error).
std::string existing(const std::string& folder, const char* name) {
  std::string path = (fs::path(folder) / name).string();
  std::error_code e;
  return fs::exists(fs::symlink_status(path, e)) ? path : "";
}

std::string checked_template(std::string text, const std::string& what) {
  if (text.size() > kMaxTemplateBytes)
    fail(ErrorCode::kCorrupt, "{}: expected a chat template of at most {} bytes, got {}", what,
         kMaxTemplateBytes, text.size());
  return text;
}

// chat_template is a string, or a list of {"name": .., "template": ..}.
void take_templates(const PlainJson& config, const std::string& path, ModelAssets& out) {
  auto it = config.find("chat_template");
  if (it == config.end() || it->is_null()) return;
  std::string what = quote(path, 200);
  if (it->is_string()) {
    if (out.chat_template.empty()) out.chat_template = checked_template(it->get<std::string>(), what);
    return;
  }
  if (!it->is_array() || it->size() > kMaxNamedTemplates)
    fail(ErrorCode::kCorrupt,
         "{}: chat_template: expected a string or a list of at most {} named templates, got {}", what,
         kMaxNamedTemplates, it->type_name());
  for (const auto& entry : *it) {
    auto text = [&](const char* key) {
      if (!entry.is_object() || !entry.contains(key) || !entry[key].is_string())
        fail(ErrorCode::kCorrupt, "{}: chat_template: expected entries with the strings name and template",
             what);
      return entry[key].get<std::string>();
    };
    std::string name = text("name"), source = checked_template(text("template"), what);
    if (name != "default")
      out.named_templates.emplace(name, source);
    else if (out.chat_template.empty())
      out.chat_template = source;
  }
}

// A special token is a string or an added token {"content": …}; "" for anything else.
std::string token_text(const PlainJson& config, const char* key) {
  auto it = config.find(key);
  if (it == config.end()) return "";
  if (it->is_string()) return it->get<std::string>();
  if (it->is_object() && it->contains("content") && (*it)["content"].is_string())
    return (*it)["content"].get<std::string>();
  return "";
}

void take_special_tokens(const PlainJson& config, ModelAssets& out) {
  auto take = [&](std::string& field, const char* key) {
    if (field.empty()) field = token_text(config, key);
  };
  take(out.bos_token, "bos_token");
  take(out.eos_token, "eos_token");
  take(out.unk_token, "unk_token");
  take(out.pad_token, "pad_token");
}

int tristate(const PlainJson& config, const char* key) {
  auto it = config.find(key);
  return it != config.end() && it->is_boolean() ? it->get<bool>() : -1;
}

// eos_token_id: a number or a list of numbers. Anything else is an error that names the file.
void take_stop_ids(const Json& config, const std::string& path, ModelAssets& out) {
  auto it = config.find("eos_token_id");
  if (it == config.end() || it->is_null()) return;
  auto add = [&](const Json& id) {
    if (!id.is_number_integer() || id.get<int64_t>() < -1 || id.get<int64_t>() > INT32_MAX)
      fail(ErrorCode::kCorrupt, "{}: eos_token_id: expected a token id or a list of them, got {}",
           quote(path, 200), quote(id.dump(-1, ' ', true, Json::error_handler_t::replace)));
    if (id.get<int64_t>() >= 0) out.stop_token_ids.push_back(id.get<int32_t>());
  };
  if (!it->is_array()) return add(*it);
  for (const Json& id : *it) add(id);
}

void find_hf_assets(const ModelFile& model, ModelAssets& out) {
  const std::string& folder = model.folder();
  out.tokenizer_json = existing(folder, "tokenizer.json");
  out.tokenizer_model = existing(folder, "tokenizer.model");
  out.tokenizer_config_json = existing(folder, "tokenizer_config.json");
  out.special_tokens_map_json = existing(folder, "special_tokens_map.json");
  out.added_tokens_json = existing(folder, "added_tokens.json");

  if (auto path = existing(folder, "chat_template.jinja"); !path.empty())
    out.chat_template = checked_template(read_text_file(path, kMaxTemplateBytes), quote(path, 200));
  if (!out.tokenizer_config_json.empty()) {
    auto config = load_large_json_object(out.tokenizer_config_json, kMaxTokenizerConfigBytes);
    take_templates(config, out.tokenizer_config_json, out);
    take_special_tokens(config, out);
    out.add_bos_token = tristate(config, "add_bos_token");
    out.add_eos_token = tristate(config, "add_eos_token");
  }
  if (auto path = existing(folder, "chat_template.json"); out.chat_template.empty() && !path.empty())
    take_templates(load_large_json_object(path, 2 * kMaxTemplateBytes), path, out);
  if (!out.special_tokens_map_json.empty())
    take_special_tokens(load_large_json_object(out.special_tokens_map_json, kMaxTokenizerConfigBytes), out);

  if (auto path = existing(folder, "generation_config.json"); !path.empty()) {
    out.generation_config = std::make_shared<const Json>(load_json_object(path));
    take_stop_ids(*out.generation_config, path, out);
  }
  if (out.stop_token_ids.empty()) take_stop_ids(model.metadata(), folder + "/config.json", out);
}

void find_gguf_assets(const ModelFile& model, ModelAssets& out) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  std::string what = quote(model.path(), 200);
  out.chat_template = checked_template(model.find_string(kTemplate).value_or(""), what);
  for (const auto& [key, value] : model.metadata().items()) {
    if (key.size() <= kTemplate.size() + 1 || !key.starts_with(kTemplate) || key[kTemplate.size()] != '.')
      continue;
    if (!value.is_string() || out.named_templates.size() == kMaxNamedTemplates) continue;
    out.named_templates.emplace(key.substr(kTemplate.size() + 1),
                                checked_template(value.get<std::string>(), what));
  }
  auto tokens = model.get_string_array("tokenizer.ggml.tokens");
  auto spelling = [&](const char* key) -> std::string {
    auto id = model.find_int(key);
    return id && *id >= 0 && *id < static_cast<int64_t>(tokens.size()) ? std::string(tokens[*id]) : "";
  };
  out.bos_token = spelling("tokenizer.ggml.bos_token_id");
  out.eos_token = spelling("tokenizer.ggml.eos_token_id");
  out.unk_token = spelling("tokenizer.ggml.unknown_token_id");
  out.pad_token = spelling("tokenizer.ggml.padding_token_id");
  for (const char* key :
       {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (auto id = model.find_int(key); id && *id >= 0 && *id <= INT32_MAX)
      out.stop_token_ids.push_back(static_cast<int32_t>(*id));
}

}  // namespace

ModelAssets find_assets(const ModelFile& model) {
  ModelAssets out;
  if (model.kind() == ModelFile::Kind::kGguf)
    find_gguf_assets(model, out);
  else
    find_hf_assets(model, out);
  if (!out.generation_config) out.generation_config = std::make_shared<const Json>(Json::object());
  std::sort(out.stop_token_ids.begin(), out.stop_token_ids.end());
  out.stop_token_ids.erase(std::unique(out.stop_token_ids.begin(), out.stop_token_ids.end()),
                           out.stop_token_ids.end());
  return out;
}

}  // namespace turgo
