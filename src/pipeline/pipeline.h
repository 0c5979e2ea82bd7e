// Text in, text out: the facade that the CLI, the server, Python and the evaluations share. A Pipeline owns
// one loaded model with its tokenizer, chat template, executor and engine; all of its functions may be called
// from any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/thread_team.h"
#include "engine/engine.h"
#include "pipeline/chat_format.h"
#include "pipeline/generation_config.h"
#include "pipeline/pipeline_config.h"
#include "pipeline/prompt.h"
#include "pipeline/text_stream.h"
#include "text/tokenizer.h"

namespace turgo {

// Stateful inference: the engine keeps the tokens and their KV under this id between requests.
struct SessionRef {
  std::string id;  // empty = stateless
  std::string owner;
};

struct ModelInfo {
  std::string path, architecture;
  std::string precision;     // arithmetic of the weights' products: "int8", "bf16", "f32"
  uint64_t fingerprint = 0;  // ModelFile's
  int64_t file_bytes = 0;    // of the mapped files
  int64_t weight_bytes = 0;  // resident
  int64_t decode_bytes = 0;  // of the weights that one decoded token reads (an untied embedding table is not)
  int64_t layer_weights = 0, head_weights = 0;  // products per token: in all layers, and for its logits
  std::string kernels;                          // KernelTable::isa
  std::string kv_type;                          // "bf16", "int8", "int4", "k8v4", "f32"
  int64_t kv_bytes_per_token = 0;
};

class Pipeline {
 public:
  // Throws Error{kNotFound, kCorrupt, kUnsupported, kInvalidArgument, kResourceExhausted}.
  static std::unique_ptr<Pipeline> open(const std::string& path, const PipelineConfig& config);
  // Over an engine in another process. info.path holds that model's files without its weights; of `config`
  // what concerns text counts. Throws as open() does.
  static std::unique_ptr<Pipeline> over(std::unique_ptr<Engine> engine, ModelInfo info,
                                        const PipelineConfig& config);
  ~Pipeline();

  // Continues a prompt as it stands. Control tokens in text segments are read as such; BOS is put in front
  // where the model wants it. Throws what Engine::submit throws.
  TextStream generate(const Prompt& prompt, const GenerationConfig& config, const SessionRef& session = {});

  // Answers a conversation in the model's template. With a session only what differs from the session's
  // tokens is computed. Throws Error{kUnsupported} where there is no template (how to give one is in the
  // text).
  TextStream chat(const std::vector<Message>& messages, const GenerationConfig& config,
                  const SessionRef& session = {});

  std::vector<int32_t> chat_tokens(const std::vector<Message>& messages) const;  // what chat() submits
  std::vector<int32_t> prompt_tokens(const Prompt& prompt) const;                // what generate() submits
  // messages: a JSON list of {role, content, …} as the template expects it.
  std::vector<int32_t> chat_tokens(const nlohmann::ordered_json& messages,
                                   const ChatTemplateOptions& options) const;
  // The second halves of generate() and chat().
  TextStream generate_from(std::vector<int32_t> ids, const GenerationConfig& config,
                           const SessionRef& session = {});
  TextStream chat_from(std::vector<int32_t> ids, const GenerationConfig& config,
                       const SessionRef& session = {});

  // What all of them end in: `ids` continue the session's tokens at `step` (-1: its end). at_start: the
  // answer is a text of its own, not the continuation of one. num_input: tokens of the whole prompt.
  TextStream continue_at(int32_t step, std::vector<int32_t> ids, const GenerationConfig& config,
                         const SessionRef& session, bool at_start, int32_t num_input);

  bool has_tokenizer() const { return tokenizer_ != nullptr; }
  bool has_chat_template() const { return format_ != nullptr; }
  const std::string& chat_template_source() const;  // Jinja; "" if there is none
  void require_chat_template() const;               // throws as chat() does
  const Tokenizer& tokenizer() const;               // throws Error{kUnsupported} if the model has none
  Engine& engine() { return *engine_; }
  ThreadTeam& team() { return *team_; }  // only while no request runs; of an engine of this process
  const ModelInfo& info() const { return info_; }
  int32_t vocab_size() const { return engine_->model_config().vocab_size; }
  int32_t session_len() const { return engine_->session_len(); }

 private:
  Pipeline() = default;
  void load_text(const ModelFile& file, const ModelAssets& assets, const PipelineConfig& config);
  TextStream submit(std::vector<int32_t> ids, const GenerationConfig& config, const SessionRef& session,
                    bool at_start);

  ModelInfo info_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const ChatFormat> format_;
  std::shared_ptr<ThreadTeam> team_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace turgo
