// Structured output: a JSON schema, regular expression or grammar becomes masks over tokens, so that an
// answer can not leave it. Compiled by XGrammar (or refused, in a build without it). What a caller sends is
// compiled twice, first in a child process with limits on time and memory: a schema that explodes or
// overflows a stack ends that child, and its caller gets an error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/request.h"

namespace turgo {

struct GrammarSpec {
  enum class Kind : uint8_t {
    kJsonSchema,       // text: the schema; its objects take no further properties unless it says so
    kLooseJsonSchema,  // and further properties are allowed where it does not forbid them
    kRegex,            // the whole answer matches
    kEbnf,             // GBNF-like rules; the first one is `root`
    kStructuralTag,    // XGrammar's description of free text with constrained parts
  };
  Kind kind = Kind::kJsonSchema;
  std::string text;
  bool operator==(const GrammarSpec&) const = default;
};

// Compiled. Immutable and shared.
class TokenGrammar {
 public:
  virtual ~TokenGrammar() = default;
  virtual std::shared_ptr<TokenMask> start() const = 0;  // for one answer
  virtual size_t num_bytes() const = 0;
};

struct GrammarVocabulary {
  // Bytes of each token; "" for control tokens, which no grammar matches. Those that mark tool calls can be
  // named by id: a byte that no text has stands in front of them.
  std::vector<std::string> pieces;
  std::vector<int32_t> stop_ids;  // allowed where the grammar may end
};

// Where grammars are compiled: in this process, or in that of the engine.
class Grammars {
 public:
  virtual ~Grammars() = default;
  // Keeps the latest in a cache. Throws Error{kInvalidArgument} for what is no grammar or has no answer,
  // Error{kTooLong, kResourceExhausted} beyond the limits, Error{kUnsupported} in a build without XGrammar.
  // May be called from any thread.
  virtual std::shared_ptr<const TokenGrammar> compile(const GrammarSpec& spec) = 0;
};

class GrammarCompiler : public Grammars {
 public:
  // `vocabulary` is called once, at the first compile().
  explicit GrammarCompiler(std::function<GrammarVocabulary()> vocabulary);
  ~GrammarCompiler() override;
  std::shared_ptr<const TokenGrammar> compile(const GrammarSpec& spec) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace turgo
