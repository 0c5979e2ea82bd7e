#include "text/tokenizer_json.h"

#include <algorithm>

#include "core/error.h"
#include "core/mapped_file.h"
#include "text/base64.h"
#include "text/piece_table.h"
#include "text/tokenizer_json_document.h"

namespace turgo {
namespace {

using PreKind = PreTokenizerStep::Kind;
using NormKind = NormalizerStep::Kind;

constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class Reader {
 public:
  Reader(TokenizerJsonDocument document, const std::string& name) : document_(std::move(document)) {
    spec_.name = name;
  }

  TokenizerSpec read() {
    const Json& root = document_.rest;
    read_model(object(root, "model"));
    read_added_tokens(root);
    if (const Json* step = find(root, "normalizer")) read_normalizer(*step);
    if (const Json* step = find(root, "pre_tokenizer")) read_pre_tokenizer(*step);
    spec_.byte_level = after_byte_level_;
    if (spec_.byte_level && spec_.model != TokenizerModel::kMergeBpe)
      unsupported("a ByteLevel pre-tokenizer with a model that is not BPE");
    read_decoder(root);
    if (const Json* step = find(root, "post_processor")) read_post_processor(*step);
    return std::move(spec_);
  }

 private:
  [[noreturn]] void unsupported(const std::string& what) const {
    fail(ErrorCode::kUnsupported,
         "{}: expected a tokenizer of byte-level BPE, BPE with byte fallback or Unigram, got {}, which is "
         "not built; "
         "use a GGUF file of the model instead",
         spec_.name, quote(what, 120));
  }
  [[noreturn]] void corrupt(const std::string& what) const {
    fail(ErrorCode::kCorrupt, "{}: {}; is the file complete?", spec_.name, what);
  }

  // Null and absent are the same.
  static const Json* find(const Json& parent, const char* key) {
    if (!parent.is_object()) return nullptr;
    const auto it = parent.find(key);
    return it == parent.end() || it->is_null() ? nullptr : &*it;
  }
  const Json& object(const Json& parent, const char* key) const {
    const Json* value = find(parent, key);
    if (value == nullptr || !value->is_object()) corrupt(fmt::format("expected an object '{}'", key));
    return *value;
  }
  std::string string(const Json& parent, const char* key, const char* otherwise = nullptr) const {
    const Json* value = find(parent, key);
    if (value == nullptr && otherwise != nullptr) return otherwise;
    if (value == nullptr || !value->is_string()) corrupt(fmt::format("expected a string '{}'", key));
    return value->get<std::string>();
  }
  bool boolean(const Json& parent, const char* key, bool otherwise) const {
    const Json* value = find(parent, key);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) corrupt(fmt::format("expected true or false for '{}'", key));
    return value->get<bool>();
  }
  int32_t id(const Json& value, const char* what) const {
    if (!value.is_number_integer() || value.get<double>() < 0 || value.get<double>() >= double{1 << 24})
      corrupt(fmt::format("expected an id of 0 to 2^24 for {}", what));
    return value.get<int32_t>();
  }
  // The parts of a Sequence, or the step itself.
  template <class Visit>
  void each(const Json& step, const char* list_key, Visit visit) const {
    if (string(step, "type") != "Sequence") return visit(step);
    const Json* list = find(step, list_key);
    if (list == nullptr || !list->is_array()) corrupt(fmt::format("expected a list '{}'", list_key));
    for (const Json& part : *list) each(part, list_key, visit);
  }

  void read_model(const Json& model) {
    const std::string type = string(model, "type", document_.vocab_is_list ? "Unigram" : "BPE");
    if (type == "BPE" && !document_.vocab_is_list) {
      spec_.model = TokenizerModel::kMergeBpe;
    } else if (type == "Unigram" && document_.vocab_is_list) {
      spec_.model = TokenizerModel::kUnigram;
    } else {
      unsupported("a model of type " + type);
    }
    if (!document_.has_vocab || document_.vocab.empty()) corrupt("the vocabulary is empty");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!string(model, key, "").empty()) unsupported(key);
    spec_.byte_fallback = boolean(model, "byte_fallback", false);
    spec_.ignore_merges = boolean(model, "ignore_merges", false);
    take_vocab();
    if (spec_.model == TokenizerModel::kUnigram) {
      spec_.fuse_unk = true;
      if (const Json* unk = find(model, "unk_id")) spec_.unk_id = id(*unk, "unk_id");
    } else {
      spec_.fuse_unk = boolean(model, "fuse_unk", false);
      if (const std::string unk = string(model, "unk_token", ""); !unk.empty()) {
        spec_.unk_id = table_.find(unk);
        if (spec_.unk_id < 0) corrupt("unk_token " + quote(unk) + " is not in the vocabulary");
      }
      if (!document_.has_merges) corrupt("expected model.merges");
      take_merges();
    }
  }

  void take_vocab() {
    // Gaps are allowed, but not such that a few entries cost gigabytes.
    const int64_t limit = static_cast<int64_t>(document_.vocab.size()) * 2 + 65536;
    int64_t size = 0;
    for (const auto& entry : document_.vocab) {
      if (entry.id < 0 || entry.id >= limit)
        corrupt(fmt::format("expected ids of 0 to {} in the vocabulary, {} has {}", limit - 1,
                            quote(entry.text), entry.id));
      size = std::max(size, entry.id + 1);
    }
    spec_.pieces.resize(static_cast<size_t>(size));
    std::vector<bool> taken(spec_.pieces.size(), false);
    for (auto& entry : document_.vocab) {
      const auto place = static_cast<size_t>(entry.id);
      if (taken[place]) corrupt(fmt::format("two vocabulary entries have the id {}", entry.id));
      taken[place] = true;
      spec_.pieces[place].text = std::move(entry.text);
      spec_.pieces[place].score = entry.score;
    }
    document_.vocab = {};
    table_.reserve(spec_.pieces.size());
    for (size_t i = 0; i < spec_.pieces.size(); ++i)
      table_.insert(spec_.pieces[i].text, static_cast<int32_t>(i));
  }

  void take_merges() {
    spec_.merges.reserve(document_.merges.size());
    std::string joined;
    for (const auto& [left, right] : document_.merges) {
      joined.assign(left).append(right);
      const Merge merge{table_.find(left), table_.find(right), table_.find(joined)};
      if (std::min({merge.left, merge.right, merge.result}) < 0)
        corrupt(fmt::format("merge {} ({} {}) names a token that is not in the vocabulary",
                            spec_.merges.size(), quote(left), quote(right)));
      spec_.merges.push_back(merge);
    }
    document_.merges = {};
  }

  void read_added_tokens(const Json& root) {
    const Json* list = find(root, "added_tokens");
    if (list == nullptr) return;
    if (!list->is_array()) corrupt("expected a list 'added_tokens'");
    const auto limit = static_cast<int32_t>(spec_.pieces.size() + list->size() * 2 + 65536);
    for (const Json& entry : *list) {
      AddedToken token;
      token.content = string(entry, "content");
      const Json* number = find(entry, "id");
      token.id = number == nullptr ? -1 : id(*number, "an added token");
      if (token.id < 0 || token.id >= limit)
        corrupt(
            fmt::format("expected an id of 0 to {} for the added token {}", limit - 1, quote(token.content)));
      token.special = boolean(entry, "special", false);
      token.lstrip = boolean(entry, "lstrip", false);
      token.rstrip = boolean(entry, "rstrip", false);
      token.single_word = boolean(entry, "single_word", false);
      token.normalized = boolean(entry, "normalized", !token.special);
      if (static_cast<size_t>(token.id) >= spec_.pieces.size())
        spec_.pieces.resize(static_cast<size_t>(token.id) + 1);
      Piece& piece = spec_.pieces[static_cast<size_t>(token.id)];
      if (piece.text.empty()) piece.text = token.content;
      spec_.added_tokens.push_back(std::move(token));
    }
  }

  void read_normalizer(const Json& normalizer) {
    each(normalizer, "normalizers", [&](const Json& step) {
      const std::string type = string(step, "type");
      NormalizerStep out{};
      if (type == "NFC") {
        out.kind = NormKind::kNfc;
      } else if (type == "NFD") {
        out.kind = NormKind::kNfd;
      } else if (type == "NFKC") {
        out.kind = NormKind::kNfkc;
      } else if (type == "NFKD") {
        out.kind = NormKind::kNfkd;
      } else if (type == "Lowercase") {
        out.kind = NormKind::kLowercase;
      } else if (type == "Prepend") {
        out.kind = NormKind::kPrepend;
        out.content = string(step, "prepend");
      } else if (type == "Replace") {
        out.kind = NormKind::kReplace;
        out.content = string(step, "content");
        read_pattern(step, out.pattern, out.is_regex);
      } else if (type == "Strip") {
        out.kind = NormKind::kStrip;
        out.strip_left = boolean(step, "strip_left", true);
        out.strip_right = boolean(step, "strip_right", true);
      } else if (type == "Precompiled") {
        out.kind = NormKind::kCharsmap;
        if (!decode_base64(string(step, "precompiled_charsmap", ""), out.charsmap))
          corrupt("precompiled_charsmap is not base64");
        if (out.charsmap.empty()) return;
      } else {
        unsupported("the normalizer " + type);
      }
      spec_.normalizers.push_back(std::move(out));
    });
  }

  void read_pattern(const Json& step, std::string& pattern, bool& is_regex) const {
    const Json& value = object(step, "pattern");
    is_regex = find(value, "Regex") != nullptr;
    pattern = string(value, is_regex ? "Regex" : "String");
  }

  PreTokenizerStep::Behavior behavior(const Json& step, const char* otherwise) const {
    using Behavior = PreTokenizerStep::Behavior;
    const std::string name = string(step, "behavior", otherwise);
    if (name == "Isolated") return Behavior::kIsolated;
    if (name == "Removed") return Behavior::kRemoved;
    if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
    if (name == "MergedWithNext") return Behavior::kMergedWithNext;
    if (name == "Contiguous") return Behavior::kContiguous;
    corrupt("unknown split behaviour " + quote(name));
  }

  void read_split(const Json& step, PreTokenizerStep& out) const {
    using Behavior = PreTokenizerStep::Behavior;
    out.kind = PreKind::kSplit;
    out.behavior = behavior(step, "Isolated");
    out.invert = boolean(step, "invert", false);
    read_pattern(step, out.pattern, out.is_regex);
    // The published patterns match every character, so that both of these give one word per match.
    const bool words = (out.behavior == Behavior::kIsolated && !out.invert) ||
                       (out.behavior == Behavior::kRemoved && out.invert);
    if (!out.is_regex || !words) return;
    const bool llama3 = out.pattern == kLlama3Pattern, qwen2 = out.pattern == kQwen2Pattern;
    if (!llama3 && !qwen2 && out.pattern != kGpt2Pattern) return;
    out.kind = llama3 || qwen2 ? PreKind::kLlama3 : PreKind::kGpt2;
    out.max_digits = llama3 ? 3 : 1;
    out.behavior = Behavior::kIsolated;
    out.invert = false;
  }

  void read_metaspace(const Json& step, PreTokenizerStep& out) const {
    using Prepend = PreTokenizerStep::Prepend;
    out.kind = PreKind::kMetaspace;
    out.content = string(step, "replacement", "\u2581");
    const std::string scheme =
        string(step, "prepend_scheme", boolean(step, "add_prefix_space", true) ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never")
      corrupt("unknown prepend_scheme " + quote(scheme));
    out.prepend = scheme == "always"  ? Prepend::kAlways
                  : scheme == "first" ? Prepend::kFirst
                                      : Prepend::kNever;
    out.split = boolean(step, "split", true);
  }

  void read_pre_tokenizer(const Json& pre_tokenizer) {
    each(pre_tokenizer, "pretokenizers", [&](const Json& step) {
      const std::string type = string(step, "type");
      if (after_byte_level_) unsupported("the pre-tokenizer " + type + " after ByteLevel");
      PreTokenizerStep out{};
      if (type == "ByteLevel") {
        after_byte_level_ = true;
        if (boolean(step, "add_prefix_space", true)) {
          out.kind = PreKind::kPrefixSpace;
          spec_.pre_tokenizers.push_back(out);
        }
        if (!boolean(step, "use_regex", true)) return;
        out.kind = PreKind::kGpt2;
      } else if (type == "Split") {
        read_split(step, out);
      } else if (type == "Digits") {
        out.kind = PreKind::kDigits;
        out.individual = boolean(step, "individual_digits", false);
      } else if (type == "Punctuation") {
        out.kind = PreKind::kPunctuation;
        out.behavior = behavior(step, "Isolated");
      } else if (type == "WhitespaceSplit") {
        out.kind = PreKind::kWhitespaceSplit;
      } else if (type == "Whitespace") {
        out.kind = PreKind::kSplit;
        out.is_regex = true;
        out.pattern = R"(\w+|[^\w\s]+)";
        out.behavior = PreTokenizerStep::Behavior::kRemoved;
        out.invert = true;
      } else if (type == "CharDelimiterSplit") {
        out.kind = PreKind::kSplit;
        out.pattern = string(step, "delimiter");
        out.behavior = PreTokenizerStep::Behavior::kRemoved;
      } else if (type == "Metaspace") {
        read_metaspace(step, out);
      } else {
        unsupported("the pre-tokenizer " + type);
      }
      spec_.pre_tokenizers.push_back(std::move(out));
    });
  }

  void read_decoder(const Json& root) {
    spec_.decoder = spec_.byte_level ? TokenDecoder::kByteLevel : TokenDecoder::kPlain;
    const Json* decoder = find(root, "decoder");
    if (decoder == nullptr) return;
    each(*decoder, "decoders", [&](const Json& step) {
      const std::string type = string(step, "type");
      if (type == "ByteLevel") {
        spec_.decoder = TokenDecoder::kByteLevel;
      } else if (type == "Metaspace") {
        PreTokenizerStep metaspace{};
        read_metaspace(step, metaspace);
        if (metaspace.content != "\u2581")
          unsupported("a Metaspace decoder with another replacement than U+2581");
        spec_.decoder = TokenDecoder::kMetaspace;
        spec_.max_stripped_spaces = metaspace.prepend != PreTokenizerStep::Prepend::kNever ? 1 : 0;
      } else if (type == "Replace") {
        std::string pattern;
        bool is_regex = false;
        read_pattern(step, pattern, is_regex);
        if (is_regex || pattern != "\u2581" || string(step, "content") != " ")
          unsupported("a Replace decoder other than U+2581 by a space");
        spec_.decoder = TokenDecoder::kMetaspace;
      } else if (type == "ByteFallback") {
        spec_.decode_bytes = true;
        spec_.decoder = TokenDecoder::kMetaspace;
      } else if (type == "Strip") {
        const Json* start = find(step, "start");
        if (string(step, "content", " ") == " " && start != nullptr && *start == 1)
          spec_.max_stripped_spaces = 1;
      } else if (type != "Fuse") {
        unsupported("the decoder " + type);
      }
    });
  }

  void read_post_processor(const Json& post_processor) {
    each(post_processor, "processors", [&](const Json& step) {
      const std::string type = string(step, "type");
      if (type == "TemplateProcessing") {
        read_template(step);
      } else if (type == "RobertaProcessing" || type == "BertProcessing") {
        unsupported("the post-processor " + type + " (an encoder's)");
      } else if (type != "ByteLevel") {
        unsupported("the post-processor " + type);
      }
    });
  }

  // "single": special tokens around the sequence A.
  void read_template(const Json& step) {
    const Json* single = find(step, "single");
    if (single == nullptr || !single->is_array()) corrupt("expected a list 'single' in the post-processor");
    bool after_text = false;
    for (const Json& part : *single) {
      if (find(part, "Sequence") != nullptr) {
        after_text = true;
        continue;
      }
      const std::string token = string(object(part, "SpecialToken"), "id");
      const Json* ids = find(object(object(step, "special_tokens"), token.c_str()), "ids");
      if (ids == nullptr || !ids->is_array() || ids->size() != 1)
        unsupported("a post-processor with more than one id for " + token);
      int32_t& place = after_text ? spec_.eos_id : spec_.bos_id;
      bool& add = after_text ? spec_.add_eos : spec_.add_bos;
      if (add) unsupported("a post-processor with two special tokens on one side");
      place = id((*ids)[0], "a special token of the post-processor");
      add = true;
    }
  }

  TokenizerJsonDocument document_;
  TokenizerSpec spec_;
  PieceTable table_;  // of spec_.pieces as they were before added tokens; used by read_model only
  bool after_byte_level_ = false;
};

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view text, const std::string& name) {
  return Reader(parse_tokenizer_json_document(text, name), name).read();
}

TokenizerSpec read_tokenizer_json(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  constexpr size_t kMaxBytes = size_t{256} << 20;
  if (bytes.size() > kMaxBytes)
    fail(ErrorCode::kCorrupt, "{}: expected at most {} bytes of JSON, got {}", quote(path, 200), kMaxBytes,
         bytes.size());
  return parse_tokenizer_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, quote(path, 200));
}

}  // namespace turgo
