// A conversation -> tokens, in the template that the model was trained with. Which template that is: the one
// that the user names (built-in name, Jinja file, LMDeploy's JSON), else the model's own, else none. A
// folder's name never decides.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/model_assets.h"
#include "pipeline/prompt.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace turgo {

class ChatFormat {
 public:
  // nullptr if the model has no template and `choice` is empty. Throws Error{kNotFound, kCorrupt,
  // kUnsupported}.
  static std::unique_ptr<const ChatFormat> choose(const std::string& choice, const ModelAssets& assets,
                                                  bool is_hugging_face);

  // The ids of the conversation with the opening of the assistant's answer behind it. What a message says
  // never becomes a control token. BOS: a Hugging Face folder's own template says everything, as in
  // transformers; in front of other prompts it is put if the tokenizer wants it and the template did not
  // write it.
  std::vector<int32_t> encode(const std::vector<Message>& messages, const Tokenizer& tokenizer) const;

  std::vector<int32_t> encode(const nlohmann::ordered_json& messages, const ChatTemplateOptions& options,
                              const Tokenizer& tokenizer) const;

  // What ends an answer beside the model's own end tokens.
  const std::vector<std::string>& stop_words() const { return template_->stop_words(); }
  const std::string& source() const { return template_->source(); }

 private:
  ChatFormat(std::shared_ptr<const ChatTemplate> chat_template, bool adds_bos)
      : template_(std::move(chat_template)), adds_bos_(adds_bos) {}

  std::shared_ptr<const ChatTemplate> template_;
  bool adds_bos_;
};

}  // namespace turgo
