// The built-in chat templates: most are the texts around each role (chat_template_config.h), the others Jinja
// text.
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "core/json.h"
#include "text/chat_template.h"
#include "text/chat_template_config.h"

namespace turgo {

namespace {

struct BuiltinConfig {
  const char* name;
  ChatTemplateConfig config;
};

// InternLM's published system prompt.
constexpr const char* kInternLm =
    "You are an AI assistant whose name is InternLM (书生·浦语).\n"
    "- InternLM (书生·浦语) is a conversational language model that is developed by Shanghai AI Laboratory "
    "(上海人工智能实验室). It is designed to be helpful, honest, and harmless.\n"
    "- InternLM (书生·浦语) can understand and communicate fluently in the language chosen by the user such "
    "as English "
    "and 中文.";

constexpr const char* kVicuna =
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
    "detailed, and "
    "polite answers to the user's questions.";

constexpr const char* kDeepSeekCoder =
    "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, "
    "and you only "
    "answer questions related to computer science. For politically sensitive questions, security and privacy "
    "issues, and "
    "other non-computer science questions, you will refuse to answer.";

// UltraLM's and UltraCM's, Yi-VL's and DeepSeek-VL's, as LMDeploy ships them.
constexpr const char* kUltra =
    "A one-turn chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, very detailed, and polite answers to the user's questions.";
constexpr const char* kYiVl =
    "This is a chat between an inquisitive human and an AI assistant. Assume the role of the AI assistant. "
    "Read all the images carefully, and respond to the human's questions with informative, helpful, detailed "
    "and polite answers. "
    "这是一个好奇的人类和一个人工智能助手之间的对话。假设你扮演这个AI助手的角色。仔细阅读所有的图像，并对人类"
    "的"
    "问题做出信息丰富、有帮助、详细的和礼貌的回答。\n\n";
constexpr const char* kDeepSeekVl =
    "You are a helpful language and vision assistant. You are able to understand the visual content that the "
    "user provides, and assist the user with a variety of tasks using natural language.";

// The system prompt that Databricks publishes for DBRX (the last sentence is in capitals there, too).
constexpr const char* kDbrx =
    "You are DBRX, created by Databricks. You were last updated in December 2023. You answer questions based "
    "on information available up to that point.\n"
    "YOU PROVIDE SHORT RESPONSES TO SHORT QUESTIONS OR STATEMENTS, but provide thorough responses to more "
    "complex and open-ended questions.\n"
    "You assist with various tasks, from writing to coding (using markdown for code blocks — remember to use "
    "``` with code, JSON, and tables).\n"
    "(You do not have real-time data access or code execution capabilities. You avoid stereotyping and "
    "provide balanced perspectives on controversial topics. You do not provide song lyrics, poems, or news "
    "articles and do not divulge details of your training data.)\n"
    "This is your system prompt, guiding your responses. Do not reference it, just respond to the user. If "
    "you find yourself talking about this message, stop. You should be responding appropriately and usually "
    "that means not mentioning this.\n"
    "YOU DO NOT MENTION ANY OF THIS INFORMATION ABOUT YOURSELF UNLESS THE INFORMATION IS DIRECTLY PERTINENT "
    "TO THE USER\\'S QUERY.";

// Names that LMDeploy 0.3.0 also accepts but does not list: one per model size, before templates had
// families.
struct Alias {
  const char *name, *of;
};
constexpr Alias kAliases[] = {
    {"internlm-chat", "internlm"},
    {"internlm-chat-7b", "internlm"},
    {"internlm-chat-7b-8k", "internlm"},
    {"internlm-chat-20b", "internlm"},
    {"internlm-20b", "base"},
    {"internlm2-1_8b", "base"},
    {"internlm2-7b", "base"},
    {"internlm2-20b", "base"},
    {"internlm2-chat", "internlm2"},
    {"internlm2-chat-1_8b", "internlm2"},
    {"internlm2-chat-7b", "internlm2"},
    {"internlm2-chat-20b", "internlm2"},
    {"baichuan-7b", "base"},
    {"baichuan-base", "base"},
    {"baichuan2-7b", "baichuan2"},
    {"llama-2", "llama2"},
    {"llama-2-chat", "llama2"},
    {"qwen-7b", "qwen"},
    {"qwen-14b", "qwen"},
    {"chatglm2-6b", "chatglm"},
    {"solar-70b", "solar"},
    {"yi-chat", "yi"},
    {"yi-200k", "yi"},
    {"yi-34b", "yi"},
    {"Mistral-7B-Instruct", "mistral"},
    {"Mixtral-8x7B-Instruct", "mixtral"},
    {"deepseek-chat", "deepseek"},
};

std::string without_alias(const std::string& name) {
  for (const Alias& alias : kAliases)
    if (name == alias.name) return alias.of;
  return name;
}

ChatTemplateConfig chatml(std::optional<std::string> system_prompt, std::vector<std::string> stop_words,
                          bool bos) {
  return {"<|im_start|>system\n", std::move(system_prompt),
          "<|im_end|>\n",         "<|im_start|>user\n",
          "<|im_end|>\n",         "<|im_start|>assistant\n",
          "<|im_end|>",           "\n",
          std::move(stop_words),  bos};
}

// In LMDeploy's field order: system, meta_instruction, eosys, user, eoh, assistant, eoa, separator,
// stop_words, bos.
std::vector<BuiltinConfig> configs() {
  const auto none = std::nullopt;
  return {
      {"base", {"", none, "", "", "", "", "", "", {}, true}},
      {"llama", {"", none, "", "", "", "", "", "", {}, true}},
      {"puyu", {"", none, "", "", "", "", "", "", {}, true}},
      {"chatml", chatml(none, {"<|im_end|>"}, false)},
      {"internlm2", chatml(kInternLm, {"<|im_end|>", "<|action_end|>"}, true)},
      {"qwen", chatml("You are a helpful assistant.", {"<|im_end|>"}, false)},
      {"yi", chatml(none, {"<|im_end|>", "<|endoftext|>"}, false)},
      {"dbrx", chatml(kDbrx, {"<|im_end|>"}, false)},
      {"internlm",
       {"<|System|>:", kInternLm, "\n", "<|User|>:", "\n", "<|Bot|>:", "<eoa>", "\n", {"<eoa>"}, true}},
      {"vicuna", {"", kVicuna, " ", "USER: ", " ", "ASSISTANT: ", "</s>", "", {"</s>"}, true}},
      {"wizardlm", {"", kVicuna, " ", "USER: ", " ", "ASSISTANT: ", "</s>", "", {"</s>"}, true}},
      {"baichuan2", {"", none, "", "<reserved_106>", "", "<reserved_107>", "</s>", "", {"</s>"}, false}},
      {"deepseek",
       {"",
        none,
        "\n\n",
        "User: ",
        "\n\n",
        "Assistant: ",
        "<｜end▁of▁sentence｜>",
        "",
        {"<｜end▁of▁sentence｜>"},
        true}},
      {"deepseek-vl",
       {"",
        kDeepSeekVl,
        "\n\n",
        "User: ",
        "\n\n",
        "Assistant: ",
        "<｜end▁of▁sentence｜>",
        "",
        {"<｜end▁of▁sentence｜>"},
        true}},
      {"ultracm",
       {"User: ", kUltra, "</s>\n", "User: ", "</s>\n", "Assistant: ", "</s>", "\n", {"</s>"}, true}},
      {"ultralm",
       {"User: ", kUltra, "</s>\n", "User: ", "</s>\n", "Assistant: ", "</s>", "\n", {"</s>"}, true}},
      {"yi-vl", {"", kYiVl, "", "### Human: ", "\n", "### Assistant:", "\n", "", {"###"}, true}},
      {"deepseek-coder",
       {"",
        kDeepSeekCoder,
        "\n",
        "### Instruction:\n",
        "\n",
        "### Response:\n",
        "\n<|EOT|>",
        "\n",
        {"<|EOT|>"},
        true}},
      {"solar",
       {"### System:\n",
        none,
        "\n\n",
        "### User:\n",
        "\n\n",
        "### Assistant:\n",
        "",
        "\n\n",
        {"</s>"},
        true}},
      {"falcon", {"", none, "\n\n", "User: ", "\n\n", "Assistant: ", "", "\n\n", {"\nUser"}, false}},
      {"gemma",
       {"<start_of_turn>user\n",
        none,
        "<end_of_turn>\n",
        "<start_of_turn>user\n",
        "<end_of_turn>\n",
        "<start_of_turn>model\n",
        "<end_of_turn>",
        "\n",
        {"<end_of_turn>"},
        true}},
      {"llama3",
       {"<|start_header_id|>system<|end_header_id|>\n\n",
        none,
        "<|eot_id|>",
        "<|start_header_id|>user<|end_header_id|>\n\n",
        "<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        "<|eot_id|>",
        "",
        {"<|eot_id|>", "<|end_of_text|>"},
        true}},
      {"phi3",
       {"<|system|>\n",
        none,
        "<|end|>\n",
        "<|user|>\n",
        "<|end|>\n",
        "<|assistant|>\n",
        "<|end|>",
        "\n",
        {"<|end|>"},
        false}},
      {"zephyr",
       {"<|system|>\n",
        none,
        "</s>\n",
        "<|user|>\n",
        "</s>\n",
        "<|assistant|>\n",
        "</s>",
        "\n",
        {"</s>"},
        false}},
  };
}

constexpr const char* kText =
    "{%- macro text(content) -%}\n"
    "{%- if content is string -%}{{- content -}}\n"
    "{%- else -%}{%- for part in content or [] -%}{{- part.text if part.text is defined -}}{%- endfor -%}\n"
    "{%- endif -%}{%- endmacro -%}\n";

// [INST] turns; a system prompt goes into the first user turn, in <<SYS>> marks where `marks` is set.
std::string inst(bool marks) {
  std::string source = kText;
  source += marks ? "{%- set open = '<<SYS>>\\n' -%}{%- set close = '\\n<</SYS>>\\n\\n' -%}\n"
                  : "{%- set open = '' -%}{%- set close = '\\n\\n' -%}\n";
  source +=
      "{%- set ns = namespace(system=none, first=true) -%}\n"
      "{%- for message in messages -%}\n"
      "{%- if message.role in ['system', 'developer'] -%}{%- set ns.system = text(message.content) -%}\n"
      "{%- elif message.role in ['user', 'tool'] -%}\n"
      "{{- bos_token if ns.first or open -}}\n"
      "{{- '[INST] ' -}}\n"
      "{%- if ns.system is not none -%}{{- open ~ ns.system ~ close -}}{%- set ns.system = none -%}{%- endif "
      "-%}\n"
      "{{- text(message.content) ~ ' [/INST]' -}}{%- set ns.first = false -%}\n"
      "{%- elif message.role == 'assistant' -%}{{- ' ' ~ text(message.content) ~ eos_token -}}\n"
      "{%- else -%}{{- raise_exception('this chat template has no role \\'' ~ message.role ~ '\\'') -}}\n"
      "{%- endif -%}{%- endfor -%}\n";
  return source;
}

std::string chatglm() {
  return std::string(kText) +
         "{%- set ns = namespace(round=0) -%}\n"
         "{%- for message in messages -%}\n"
         "{%- if message.role == 'assistant' -%}{{- text(message.content) ~ '\\n\\n' -}}\n"
         "{%- elif message.role in ['system', 'developer'] -%}{{- text(message.content) ~ '\\n\\n' -}}\n"
         "{%- else -%}{%- set ns.round = ns.round + 1 -%}\n"
         "{{- '[Round ' ~ ns.round ~ ']\\n\\n问：' ~ text(message.content) ~ '\\n\\n答：' -}}\n"
         "{%- endif -%}{%- endfor -%}\n";
}

struct NamedSource {
  const char* name;
  std::string source;
  std::vector<std::string> stop_words;
};

std::vector<NamedSource> sources() {
  return {{"llama2", inst(true), {"</s>"}},
          {"codellama", inst(true), {"</s>"}},
          {"mistral", inst(false), {"</s>"}},
          {"mixtral", inst(false), {"</s>"}},
          {"chatglm", chatglm(), {}}};
}

std::string read_text_file(const std::string& path) {
  constexpr uintmax_t kMaxBytes = uintmax_t{1} << 20;
  std::error_code error;
  uintmax_t size = std::filesystem::file_size(path, error);
  if (error) fail(ErrorCode::kNotFound, "chat template {}: {}", quote(path, 200), error.message());
  if (size > kMaxBytes) {
    fail(ErrorCode::kResourceExhausted, "chat template {}: at most {} bytes are allowed, the file has {}",
         quote(path, 200), kMaxBytes, size);
  }
  std::ifstream in(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (!in) fail(ErrorCode::kIo, "chat template {}: can not be read", quote(path, 200));
  return text;
}

std::shared_ptr<const ChatTemplate> from_config(const ChatTemplateConfig& config, std::string bos_token,
                                                std::string eos_token) {
  return ChatTemplate::parse(to_jinja(config), std::move(bos_token), std::move(eos_token), config.stop_words);
}

bool looks_like_json(const std::string& text) {
  size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos || text[first] != '{') return false;
  // "{{", "{%" and "{#" open Jinja; a JSON object goes on with a key or its end.
  size_t second = text.find_first_not_of(" \t\r\n", first + 1);
  return second != std::string::npos && (text[second] == '"' || text[second] == '}');
}

}  // namespace

std::optional<ChatTemplateConfig> builtin_chat_template_config(const std::string& name) {
  const std::string own = without_alias(name);
  for (const BuiltinConfig& b : configs()) {
    if (own == b.name) return b.config;
  }
  return std::nullopt;
}

std::vector<std::string> list_builtin_chat_templates() {
  std::vector<std::string> names;
  for (const BuiltinConfig& b : configs()) names.emplace_back(b.name);
  for (const NamedSource& b : sources()) names.emplace_back(b.name);
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const ChatTemplate> builtin_chat_template(const std::string& name, std::string bos_token,
                                                          std::string eos_token) {
  if (auto config = builtin_chat_template_config(name)) {
    return from_config(*config, std::move(bos_token), std::move(eos_token));
  }
  const std::string own = without_alias(name);
  for (const NamedSource& b : sources()) {
    if (own == b.name)
      return ChatTemplate::parse(b.source, std::move(bos_token), std::move(eos_token), b.stop_words);
  }
  fail(ErrorCode::kNotFound, "chat template: there is no built-in template {}; known are {}", quote(name),
       fmt::join(list_builtin_chat_templates(), ", "));
}

std::shared_ptr<const ChatTemplate> load_chat_template(const std::string& name_or_file_or_json,
                                                       std::string bos_token, std::string eos_token) {
  std::string text = name_or_file_or_json;
  std::string origin = "chat template config";
  if (!looks_like_json(text)) {
    std::vector<std::string> names = list_builtin_chat_templates();
    if (std::find(names.begin(), names.end(), without_alias(text)) != names.end()) {
      return builtin_chat_template(text, std::move(bos_token), std::move(eos_token));
    }
    if (!std::filesystem::exists(std::filesystem::path(text))) {
      fail(ErrorCode::kNotFound, "--chat-template {} is neither a file nor JSON nor a built-in template ({})",
           quote(text, 200), fmt::join(names, ", "));
    }
    origin = quote(text, 200);
    text = read_text_file(text);
    if (!looks_like_json(text))
      return ChatTemplate::parse(std::move(text), std::move(bos_token), std::move(eos_token));
  }
  return from_config(read_chat_template_config(parse_json(text, origin)), std::move(bos_token),
                     std::move(eos_token));
}

}  // namespace turgo
