// An Engine whose tokens come from another process. Observers run here on each token as it arrives, and there
// on the same tokens, so both ends agree on where an answer stops.
#pragma once

#include "serve/grammar/token_grammar.h"
#include "serve/grpc/engine_link.h"
#include "serve/grpc/model_files.h"

namespace turgo {

class RemoteEngine : public Engine, public Grammars {
 public:
  // `info`: what the engine said of itself. `files` live as long as this.
  RemoteEngine(std::shared_ptr<EngineLink> link, const turgo::v1::ModelInfo& info,
               std::unique_ptr<ModelFolder> files);

  std::unique_ptr<Stream> submit(Request request) override;
  std::vector<SessionInfo> list_sessions(const std::string& owner) override;
  std::vector<int32_t> session_tokens(const std::string& id, const std::string& owner) override;
  void end_session(const std::string& id, const std::string& owner) override;
  void fork_session(const std::string& id, const std::string& new_id, const std::string& owner) override;
  // The files are this process's.
  void save_session(const std::string& id, const std::string& owner, const std::string& path) override;
  void load_session(const std::string& path, const std::string& id, const std::string& owner) override;
  void compute_logits(const std::vector<int32_t>& ids, const LogitsSink& sink) override;
  void compute_hidden(const std::vector<int32_t>& ids, const LogitsSink& sink) override;
  EngineStats stats() override;
  const EngineConfig& config() const override { return config_; }
  const DecoderConfig& model_config() const override { return model_; }
  int32_t session_len() const override { return config_.session_len; }
  std::string why_away() const override { return link_->why_away(); }

  std::shared_ptr<const TokenGrammar> compile(const GrammarSpec& spec) override;

 private:
  void compute_rows(const std::vector<int32_t>& ids, const LogitsSink& sink, bool hidden);

  std::shared_ptr<EngineLink> link_;
  std::unique_ptr<ModelFolder> files_;
  EngineConfig config_;
  DecoderConfig model_;  // of its fields those that ModelInfo has
};

}  // namespace turgo
