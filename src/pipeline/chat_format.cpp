#include "pipeline/chat_format.h"

#include <nlohmann/json.hpp>

namespace turgo {

std::unique_ptr<const ChatFormat> ChatFormat::choose(const std::string& choice, const ModelAssets& assets,
                                                     bool is_hugging_face) {
  std::shared_ptr<const ChatTemplate> chosen;
  if (!choice.empty())
    chosen = load_chat_template(choice, assets.bos_token, assets.eos_token);
  else if (!assets.chat_template.empty())
    chosen = ChatTemplate::parse(assets.chat_template, assets.bos_token, assets.eos_token);
  if (!chosen) return nullptr;
  bool adds_bos = !choice.empty() || !is_hugging_face;
  return std::unique_ptr<const ChatFormat>(new ChatFormat(std::move(chosen), adds_bos));
}

std::vector<int32_t> ChatFormat::encode(const std::vector<Message>& messages,
                                        const Tokenizer& tokenizer) const {
  Json list = Json::array();
  for (const Message& message : messages)
    list.push_back({{"role", message.role}, {"content", message_text(message)}});
  return encode(list, {}, tokenizer);
}

std::vector<int32_t> ChatFormat::encode(const Json& messages, const ChatTemplateOptions& options,
                                        const Tokenizer& tokenizer) const {
  std::vector<int32_t> ids = tokenizer.encode(template_->render(messages, options));
  int32_t bos = tokenizer.bos_id();
  if (adds_bos_ && tokenizer.add_bos() && bos >= 0 && (ids.empty() || ids.front() != bos))
    ids.insert(ids.begin(), bos);
  return ids;
}

}  // namespace turgo
