// GrammarCompiler by XGrammar: the only file that includes it.
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <list>
#include <mutex>

#include "core/error.h"
#include "serve/grammar/rehearsal.h"
#include "serve/grammar/token_grammar.h"

namespace turgo {
namespace {

constexpr size_t kMaxSpecBytes = 256 << 10;
constexpr size_t kMaxCacheBytes = 64 << 20, kMaxCached = 512;
// Between two tokens of JSON; without a limit small models write spaces until their answer is cut.
constexpr int kMaxWhitespace = 20;

const char* kind_name(GrammarSpec::Kind kind) {
  switch (kind) {
    case GrammarSpec::Kind::kJsonSchema:
    case GrammarSpec::Kind::kLooseJsonSchema:
      return "the JSON schema";
    case GrammarSpec::Kind::kRegex:
      return "the regular expression";
    default:
      return "the grammar";
  }
}

// "[12:30:01] /…/regex_converter.cc:83: Regex parsing error" -> "Regex parsing error", in one short line
std::string plain_message(std::string text) {
  if (size_t file = text.find(".cc:"); file != text.npos)
    if (size_t end = text.find(": ", file); end != text.npos) text.erase(0, end + 2);
  text = text.substr(0, text.find_first_of("\n\r"));
  return text.substr(0, 300);
}

// XGrammar warns where it can not hold an answer to all that a schema says. Only one of its warnings is let
// pass: oneOf whose branches may overlap is taken as anyOf.
void refuse_warnings(const std::string& printed, GrammarSpec::Kind kind) {
  for (size_t begin = 0; begin < printed.size();) {
    size_t end = std::min(printed.find('\n', begin), printed.size());
    std::string line = printed.substr(begin, end - begin);
    begin = end + 1;
    if (line.find("Warning") != line.npos && line.find("anyOf semantics") == line.npos)
      fail(ErrorCode::kInvalidArgument, "{} can not be enforced: {}", kind_name(kind), plain_message(line));
  }
}

// XGrammar takes \UHHHHHHHH for what it is; beyond Unicode there is no text that it could match.
void refuse_beyond_unicode(const std::string& grammar) {
  for (size_t at = grammar.find("\\U"); at != grammar.npos; at = grammar.find("\\U", at + 2)) {
    size_t num_before = at - (grammar.find_last_not_of('\\', at) + 1);  // backslashes that escape each other
    std::string digits = grammar.substr(at + 2, 8);
    bool is_number = digits.size() == 8 && digits.find_first_not_of("0123456789abcdefABCDEF") == digits.npos;
    if (num_before % 2 == 0 && is_number && std::stoul(digits, nullptr, 16) > 0x10FFFF)
      fail(ErrorCode::kInvalidArgument, "the grammar: \\U{} is no character; the last one is \\U0010FFFF",
           digits);
  }
}

class MatcherMask : public TokenMask {
 public:
  explicit MatcherMask(const xgrammar::CompiledGrammar& grammar) : matcher_(grammar) {}

  void fill(std::vector<uint32_t>& allowed) override {
    if (is_over_) {
      std::fill(allowed.begin(), allowed.end(), 0u);
      for (int id : matcher_.GetStopTokenIds())
        allowed[static_cast<size_t>(id) / 32] |= 1u << (static_cast<unsigned>(id) % 32);
      return;
    }
    auto size = static_cast<int64_t>(allowed.size());
    DLTensor tensor{};
    tensor.data = allowed.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 1;
    tensor.dtype = xgrammar::GetBitmaskDLType();
    tensor.shape = &size;
    // False: every token is allowed and nothing was written.
    if (!matcher_.FillNextTokenBitmask(&tensor)) std::fill(allowed.begin(), allowed.end(), ~0u);
  }

  // On the engine's thread: nothing may be thrown. A token that does not fit can only come from a bias that
  // overruled the mask; the answer then ends.
  void accept(int32_t token_id) override {
    try {
      is_over_ = is_over_ || !matcher_.AcceptToken(token_id) || matcher_.IsTerminated();
    } catch (const std::exception&) {
      is_over_ = true;
    }
  }

 private:
  xgrammar::GrammarMatcher matcher_;
  bool is_over_ = false;
};

class CompiledTokenGrammar : public TokenGrammar {
 public:
  explicit CompiledTokenGrammar(xgrammar::CompiledGrammar grammar) : grammar_(std::move(grammar)) {}
  std::shared_ptr<TokenMask> start() const override { return std::make_shared<MatcherMask>(grammar_); }
  size_t num_bytes() const override { return grammar_.MemorySizeBytes(); }

 private:
  xgrammar::CompiledGrammar grammar_;
};

}  // namespace

struct GrammarCompiler::State {
  explicit State(std::function<GrammarVocabulary()> v) : vocabulary(std::move(v)) {}

  void prepare() {
    std::call_once(prepared, [this] {
      GrammarVocabulary v = vocabulary();
      num_words = (v.pieces.size() + 31) / 32;
      auto size = static_cast<int>(v.pieces.size());
      xgrammar::TokenizerInfo info(v.pieces, xgrammar::VocabType::RAW, size, v.stop_ids);
      compiler = std::make_unique<xgrammar::GrammarCompiler>(info, 1, false);
    });
  }

  std::shared_ptr<const TokenGrammar> build(const GrammarSpec& spec) {
    auto compiled = [&] {
      switch (spec.kind) {
        case GrammarSpec::Kind::kJsonSchema:
        case GrammarSpec::Kind::kLooseJsonSchema:
          return compiler->CompileJSONSchema(spec.text, true, std::nullopt, std::nullopt,
                                             spec.kind == GrammarSpec::Kind::kJsonSchema, kMaxWhitespace);
        case GrammarSpec::Kind::kRegex:
          return compiler->CompileRegex(spec.text);
        case GrammarSpec::Kind::kEbnf:
          return compiler->CompileGrammar(spec.text);
        case GrammarSpec::Kind::kStructuralTag:
          return compiler->CompileStructuralTag(spec.text);
      }
      CHECK(false);
    }();
    auto grammar = std::make_shared<CompiledTokenGrammar>(std::move(compiled));
    std::vector<uint32_t> allowed(num_words, 0);
    grammar->start()->fill(allowed);
    if (std::all_of(allowed.begin(), allowed.end(), [](uint32_t word) { return word == 0; }))
      fail(ErrorCode::kInvalidArgument, "{} matches no text", kind_name(spec.kind));
    return grammar;
  }

  std::function<GrammarVocabulary()> vocabulary;
  std::once_flag prepared;
  std::unique_ptr<xgrammar::GrammarCompiler> compiler;
  size_t num_words = 0;
  std::mutex compiling;  // one at a time: a flood of schemas takes one core at most
  std::mutex mutex;      // guards the cache
  std::list<std::pair<GrammarSpec, std::shared_ptr<const TokenGrammar>>> cache;  // latest first
  size_t cache_bytes = 0;

  std::shared_ptr<const TokenGrammar> find(const GrammarSpec& spec) {
    std::lock_guard lock(mutex);
    auto found =
        std::find_if(cache.begin(), cache.end(), [&](const auto& entry) { return entry.first == spec; });
    if (found == cache.end()) return nullptr;
    cache.splice(cache.begin(), cache, found);
    return found->second;
  }

  void keep(const GrammarSpec& spec, const std::shared_ptr<const TokenGrammar>& grammar) {
    std::lock_guard lock(mutex);
    cache.emplace_front(spec, grammar);
    cache_bytes += grammar->num_bytes() + spec.text.size();
    while (cache.size() > 1 && (cache_bytes > kMaxCacheBytes || cache.size() > kMaxCached)) {
      cache_bytes -= cache.back().second->num_bytes() + cache.back().first.text.size();
      cache.pop_back();
    }
  }
};

GrammarCompiler::GrammarCompiler(std::function<GrammarVocabulary()> vocabulary)
    : state_(std::make_unique<State>(std::move(vocabulary))) {}
GrammarCompiler::~GrammarCompiler() = default;

std::shared_ptr<const TokenGrammar> GrammarCompiler::compile(const GrammarSpec& spec) {
  if (spec.text.size() > kMaxSpecBytes)
    fail(ErrorCode::kTooLong, "{}: expected at most {} bytes, got {}", kind_name(spec.kind), kMaxSpecBytes,
         spec.text.size());
  if (spec.kind == GrammarSpec::Kind::kEbnf) refuse_beyond_unicode(spec.text);
  if (auto found = state_->find(spec)) return found;
  std::unique_lock turn(state_->compiling);
  if (auto found = state_->find(spec)) return found;
  state_->prepare();
  try {
    refuse_warnings(rehearse(kind_name(spec.kind), [&] { state_->build(spec); }), spec.kind);
    auto grammar = state_->build(spec);
    state_->keep(spec, grammar);
    return grammar;
  } catch (const Error& error) {
    throw Error(error.code(), plain_message(error.what()));
  } catch (const std::exception& error) {
    fail(ErrorCode::kInvalidArgument, "{}: {}", kind_name(spec.kind), plain_message(error.what()));
  }
}

}  // namespace turgo
