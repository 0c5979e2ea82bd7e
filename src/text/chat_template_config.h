// LMDeploy's way to describe a chat template: the texts around each role's content. Turned into Jinja text,
// so that one engine renders everything.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace turgo {

struct ChatTemplateConfig {
  std::string system;                           // in front of the system prompt
  std::optional<std::string> meta_instruction;  // system prompt of a conversation that brings none
  std::string eosys;                            // behind the system prompt
  std::string user, eoh;                        // around a user's message
  std::string assistant, eoa;                   // around an answer
  std::string separator;                        // between an answer and the next message
  std::vector<std::string> stop_words;
  bool begins_with_bos = true;
};

// Keys system, meta_instruction, eosys, user, eoh, assistant, eoa, separator (strings or null), stop_words
// (list of strings or null); model_name and capability are accepted, the first may name the built-in template
// that the other keys change. Any other key or type is Error{kInvalidArgument}.
ChatTemplateConfig read_chat_template_config(const nlohmann::ordered_json& json);

// The Jinja text of a configuration. The opening of the assistant's turn loses its trailing spaces, as
// SentencePiece models expect it.
std::string to_jinja(const ChatTemplateConfig& config);

// The configuration behind a built-in name; empty for names whose template is not of this form.
std::optional<ChatTemplateConfig> builtin_chat_template_config(const std::string& name);

}  // namespace turgo
