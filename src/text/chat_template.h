// A conversation -> the prompt that a model was trained on. The template is Jinja text from the model, a
// built-in one, or LMDeploy's ChatTemplateConfig; it runs under limits (jinja/limits.h) and can reach nothing
// but its arguments. Rendering is byte-exact with jinja2 as transformers sets it up: trim_blocks,
// lstrip_blocks, loopcontrols, tojson without HTML escapes, raise_exception, strftime_now, generation blocks.
#pragma once

#include <ctime>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "text/marked_text.h"

namespace turgo {

struct ChatTemplateOptions {
  const nlohmann::ordered_json* tools = nullptr;   // JSON list; absent or null is `none` to the template
  const nlohmann::ordered_json* kwargs = nullptr;  // JSON object: more variables, e.g. enable_thinking
  bool add_generation_prompt = true;               // end with the opening of the assistant's turn
  std::optional<std::tm> now;                      // what strftime_now() tells; the local time when absent
};

class ChatTemplate {
 public:
  // `source` is Jinja text. bos_token and eos_token become the variables of these names ("" where a model has
  // none). Throws Error{kCorrupt, kUnsupported, kResourceExhausted} that names the line.
  static std::shared_ptr<const ChatTemplate> parse(std::string source, std::string bos_token,
                                                   std::string eos_token,
                                                   std::vector<std::string> stop_words = {});
  ~ChatTemplate();

  // messages: a JSON list of {role, content, …}. The input ranges of the result are the bytes that came from
  // messages, tools and kwargs. Only the known role names ("user", "assistant" …) count as the template's
  // own: some templates build control tokens from them, and a closed list of words can not carry anything
  // else. kwargs can not replace messages, tools, add_generation_prompt, bos_token or eos_token:
  // Error{kInvalidArgument}. Error{kInvalidArgument} for a conversation that the template refuses,
  // Error{kResourceExhausted} beyond the limits.
  MarkedText render(const nlohmann::ordered_json& messages, const ChatTemplateOptions& options = {}) const;

  const std::string& source() const { return source_; }
  // Texts that end the assistant's turn besides the tokenizer's end-of-sequence tokens.
  const std::vector<std::string>& stop_words() const { return stop_words_; }

 private:
  struct Tree;  // keeps the syntax tree out of this header

  ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
               std::vector<std::string> stop_words);

  std::string source_, bos_token_, eos_token_;
  std::vector<std::string> stop_words_;
  std::unique_ptr<const Tree> tree_;
};

// Templates for models that bring none, under LMDeploy's names. They begin with bos_token where the model's
// own tokenizer would add it (not chatml, qwen, yi, baichuan2, falcon, phi3, zephyr, chatglm), and so does a
// ChatTemplateConfig: pass "" for a tokenizer that adds none.
std::vector<std::string> list_builtin_chat_templates();
// Error{kNotFound} with the list of names.
std::shared_ptr<const ChatTemplate> builtin_chat_template(const std::string& name, std::string bos_token,
                                                          std::string eos_token);

// The value of --chat-template: the name of a built-in template, a file of Jinja text, or LMDeploy's
// ChatTemplateConfig as a JSON file or JSON text (keys model_name, system, meta_instruction, eosys, user,
// eoh, assistant, eoa, separator, capability, stop_words).
std::shared_ptr<const ChatTemplate> load_chat_template(const std::string& name_or_file_or_json,
                                                       std::string bos_token, std::string eos_token);

}  // namespace turgo
