// Everything that defines a tokenizer, as plain data. Readers (tokenizer_json.h, sentencepiece_model.h,
// gguf_vocab.h) fill it, validate_spec checks it, Tokenizer::create builds from it. Ids are indices into
// `pieces`. Encoding runs: added tokens are cut out -> normalizers -> pre_tokenizers -> model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace turgo {

enum class TokenizerModel {
  kMergeBpe,          // merges by rank: Hugging Face "BPE"; over bytes if byte_level, else over characters
  kSentencePieceBpe,  // merges by the score of the result
  kUnigram,           // the cheapest path by piece scores
};

enum class PieceType : uint8_t {
  kNormal = 1,
  kUnknown,
  kControl,
  kUserDefined,
  kUnused,
  kByte
};  // as SentencePiece

struct Piece {
  std::string text;  // the vocabulary's own spelling ("Ġthe", "▁the", "<0x0A>")
  double score = 0;
  PieceType type = PieceType::kNormal;
};

struct Merge {
  int32_t left, right, result;  // ids
};

struct NormalizerStep {
  enum class Kind {
    kNfc,
    kNfd,
    kNfkc,
    kNfkd,
    kLowercase,
    kPrepend,        // content in front of a text that is not empty
    kReplace,        // every `pattern` (literal, or PCRE if is_regex) becomes `content`
    kStrip,          // white space at the left and/or right end
    kCharsmap,       // SentencePiece's precompiled map alone (Hugging Face "Precompiled")
    kSentencePiece,  // the whole of SentencePiece's normaliser: charsmap, white space, prefix
  };
  Kind kind;
  std::string content, pattern;
  bool is_regex = false;
  bool strip_left = false, strip_right = false;
  std::string charsmap;  // may be empty: identity
  bool add_dummy_prefix = false, remove_extra_whitespaces = false, escape_whitespaces = true, suffix = false;
};

struct PreTokenizerStep {
  enum class Kind {
    kGpt2,             // scanners over published patterns (pre_tokenizer_scan.h)
    kLlama3,           // max_digits 3; with 1 it is Qwen2's
    kDigits,           // \p{N}, one by one if individual
    kSplit,            // `pattern`: PCRE, or literal if !is_regex
    kPunctuation,      // ASCII punctuation and \p{P}
    kWhitespaceSplit,  // white space removed
    kMetaspace,    // content (▁) replaces spaces and may be put in front; then cuts before each ▁ if split
    kPrefixSpace,  // a space in front of a text that starts with none (ByteLevel's add_prefix_space)
  };
  enum class Behavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };
  enum class Prepend { kNever, kFirst, kAlways };
  Kind kind;
  std::string pattern, content;
  bool is_regex = false, invert = false, individual = false, split = true;
  Behavior behavior = Behavior::kIsolated;
  Prepend prepend = Prepend::kNever;
  int max_digits = 1;
};

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;                 // left out by decode(skip_special)
  bool control = false;                 // never matched in text that came from a user
  bool lstrip = false, rstrip = false;  // swallows white space on that side
  bool single_word = false;             // only between characters that are not letters, digits or _
  bool normalized = false;              // matched after normalisation
};

enum class TokenDecoder {
  kByteLevel,  // GPT-2's byte characters back to bytes
  kMetaspace,  // ▁ -> space, byte pieces -> bytes
  kPlain,      // pieces as they are
};

struct TokenizerSpec {
  std::string name = "tokenizer";  // for error messages: usually the file's path
  TokenizerModel model = TokenizerModel::kMergeBpe;
  bool byte_level = false;     // kMergeBpe only: pieces are spelled in GPT-2's byte characters
  bool byte_fallback = false;  // characters without a piece become byte pieces
  bool fuse_unk = false;       // neighbouring unknown pieces become one
  bool ignore_merges = false;  // a word that is a piece is taken whole
  bool sentencepiece =
      false;  // came from SentencePiece: user-defined pieces are matched inside the model, float sums
  std::vector<Piece> pieces;
  std::vector<Merge> merges;  // rank = index
  std::vector<NormalizerStep> normalizers;
  std::vector<PreTokenizerStep> pre_tokenizers;
  std::vector<AddedToken> added_tokens;
  TokenDecoder decoder = TokenDecoder::kByteLevel;
  bool decode_bytes = false;       // every "<0x0A>" decodes to a byte, not only pieces of type kByte
  size_t max_stripped_spaces = 0;  // decode drops up to this many in front of the text: 0, 1 or SIZE_MAX
  bool prefix_first_only =
      false;  // a SentencePiece dummy prefix only in front of the whole text, not after specials
  int32_t bos_id = -1, eos_id = -1, unk_id = -1, pad_id = -1;
  bool add_bos = false, add_eos = false;
};

// Throws Error{kCorrupt, kUnsupported} naming spec.name: ids out of range, duplicate pieces, bad scores,
// oversized lists …
void validate_spec(const TokenizerSpec& spec);

// True if a token of this spelling steers the model (<|im_end|>, <tool_call>, [INST] …), whatever its file
// calls it. Such tokens are never matched in a user's text, although some files list them as ordinary added
// tokens.
bool looks_like_control(const std::string& content);

// What normalising and pre-tokenising may make of a text. Published files at most triple it (a space becomes
// ▁; NFKC's longest expansion is elevenfold, of one character); a chain of 30 replacements of a by aa would
// make 2^30 of it.
class GrowthLimit {
 public:
  GrowthLimit(size_t text_bytes, const std::string& name)
      : text_bytes_(text_bytes), max_bytes_(64 * text_bytes + 512), name_(name) {}
  void check(size_t bytes) const {  // throws Error{kUnsupported}
    if (bytes > max_bytes_) exceeded(bytes);
  }

 private:
  [[noreturn]] void exceeded(size_t bytes) const;
  size_t text_bytes_, max_bytes_;
  const std::string& name_;
};

// The value of "<0x0A>"; -1 unless it is exactly that form with two hexadecimal digits.
int parse_byte_piece(const std::string& text);

}  // namespace turgo
