// What stands beside the weights: tokenizer files, chat templates, default generation settings. Everything is
// optional, so that a folder without a tokenizer still loads. Nothing here is executed; `auto_map` is
// ignored.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "io/model_file.h"

namespace turgo {

struct ModelAssets {
  // Paths of existing files; "" if absent. GGUF models have none: their vocabulary is in the metadata
  // (io/gguf_tokenizer.h).
  std::string tokenizer_json, tokenizer_model, tokenizer_config_json, special_tokens_map_json,
      added_tokens_json;

  // Jinja source; "" if the model has none (a base model). HF: chat_template.jinja, else
  // tokenizer_config.json's chat_template (its "default" if it is a list), else chat_template.json. GGUF:
  // tokenizer.chat_template.
  std::string chat_template;
  std::map<std::string, std::string> named_templates;  // "tool_use", "rag" …; without the default

  // Spelling of the tokens that templates insert; "" if unknown.
  std::string bos_token, eos_token, unk_token, pad_token;

  // Every id that ends an answer: generation_config.json's eos_token_id (number or list), else config.json's,
  // plus tokenizer.ggml.{eos,eot,eom}_token_id in GGUF. Sorted, unique; not yet checked against the
  // vocabulary.
  std::vector<int32_t> stop_token_ids;

  // temperature, top_p, top_k, repetition_penalty, max_new_tokens … as published; an empty object if there is
  // none.
  std::shared_ptr<const Json> generation_config;

  // tokenizer_config.json's add_bos_token / add_eos_token; -1 if it does not say.
  int add_bos_token = -1, add_eos_token = -1;
};

// Throws Error{kCorrupt} for a malformed file, a template of more than 1 MiB, or a chat template that is no
// string.
ModelAssets find_assets(const ModelFile& model);

}  // namespace turgo
