// Messages of proto/turgo/v1/engine.proto <-> the types that pipeline and engine speak. What comes from the
// wire is checked where it is used (engine submit); here only what has no other place.
#pragma once

#include <grpcpp/support/status.h>

#include <optional>

#include <turgo/v1/engine.pb.h>
#include "engine/engine.h"
#include "pipeline/generation_config.h"
#include "pipeline/text_stream.h"
#include "serve/grammar/token_grammar.h"

namespace turgo {

namespace pb = ::turgo::v1;

grpc::Status to_status(const Error& error);
// The other way: an Error of the same code with the same text, or EngineAway if the call did not come
// through. `where`: the engine's address.
[[noreturn]] void throw_status(const grpc::Status& status, const std::string& where);

// All but grammar and mask. Throws Error{kInvalidArgument}.
GenerationConfig to_config(const pb::GenerateRequest& request);
// A request of an engine as a message. Throws Error{kUnsupported} for an observer or a mask that can not be
// described, and for embeddings.
void fill(pb::GenerateRequest& out, const Request& request);

void fill(pb::Grammar& out, const GrammarSpec& spec);
GrammarSpec to_spec(const pb::Grammar& grammar);  // Error{kInvalidArgument} for an unknown kind

void fill(pb::GenerateEvent& out, const TextEvent& event);
StreamEvent to_event(const pb::GenerateEvent& event);
void fill(pb::Token& out, const OutputToken& token);
void fill(pb::RequestStats& out, const RequestStats& stats);
pb::FinishReason to_finish(FinishReason reason);

void fill(pb::Stats& out, const EngineStats& stats);
EngineStats to_stats(const pb::Stats& stats);

// A grammar that is named to the engine and compiled there; its mask is never asked for tokens here.
class NamedGrammar : public TokenGrammar, public std::enable_shared_from_this<NamedGrammar> {
 public:
  explicit NamedGrammar(GrammarSpec spec) : spec_(std::move(spec)) {}
  std::shared_ptr<TokenMask> start() const override;
  size_t num_bytes() const override { return spec_.text.size(); }
  const GrammarSpec& spec() const { return spec_; }

 private:
  GrammarSpec spec_;
};

}  // namespace turgo
