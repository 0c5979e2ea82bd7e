// The built-in chat templates and LMDeploy's ChatTemplateConfig as Jinja text.
#include "core/error.h"
#include "core/json.h"
#include "text/chat_template.h"

namespace turgo {

namespace {

struct Builtin {
  const char* name;
  const char* source;
  std::vector<std::string> stop_words;
};

const std::vector<Builtin>& builtins() {
  static const std::vector<Builtin> list = {
      {"chatml",
       "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
       "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
       {"<|im_end|>"}},
  };
  return list;
}

}  // namespace

std::vector<std::string> list_builtin_chat_templates() {
  std::vector<std::string> names;
  for (const Builtin& b : builtins()) names.emplace_back(b.name);
  return names;
}

std::shared_ptr<const ChatTemplate> builtin_chat_template(const std::string& name, std::string bos_token,
                                                          std::string eos_token) {
  for (const Builtin& b : builtins()) {
    if (name == b.name) return ChatTemplate::parse(b.source, std::move(bos_token), std::move(eos_token), b.stop_words);
  }
  fail(ErrorCode::kNotFound, "chat template: there is no built-in template '{}'", quote(name));
}

std::shared_ptr<const ChatTemplate> load_chat_template(const std::string& name_or_file_or_json, std::string bos_token,
                                                       std::string eos_token) {
  return builtin_chat_template(name_or_file_or_json, std::move(bos_token), std::move(eos_token));
}

}  // namespace turgo
