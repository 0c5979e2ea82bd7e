#include "io/gguf_tokenizer.h"

#include "core/error.h"
#include "io/gguf_parse.h"

namespace turgo {
namespace {

constexpr const char* kModel = "tokenizer.ggml.model";

// -1 if absent. Some converters write "none" as 2^32 - 1.
int32_t token_id(const ModelFile& model, const char* key) {
  auto id = model.find_int(key, -1, UINT32_MAX);
  if (!id || *id == UINT32_MAX) return -1;
  if (*id > INT32_MAX)
    fail(ErrorCode::kCorrupt, "{}: {}: expected a token id, got {}", quote(model.path(), 200), key, *id);
  return static_cast<int32_t>(*id);
}

void check_one_per_token(const ModelFile& model, const char* key, size_t got, size_t num_tokens) {
  if (got != 0 && got != num_tokens)
    fail(ErrorCode::kCorrupt, "{}: {}: expected one value for each of {} tokens, got {}",
         quote(model.path(), 200), key, num_tokens, got);
}

std::vector<std::string> to_strings(const std::vector<std::string_view>& views) {
  return {views.begin(), views.end()};
}

std::string byte_array(const ModelFile& model, const char* key) {
  auto it = model.raw_arrays().find(key);
  if (it == model.raw_arrays().end()) return "";
  if (gguf_type_bytes(it->second.type) != 1)
    fail(ErrorCode::kCorrupt, "{}: {}: expected an array of bytes, got {}", quote(model.path(), 200), key,
         gguf_type_name(it->second.type));
  return {reinterpret_cast<const char*>(it->second.bytes.data()), it->second.bytes.size()};
}

}  // namespace

bool has_gguf_vocab(const ModelFile& model) {
  return model.kind() == ModelFile::Kind::kGguf && model.has(kModel) && model.get_string(kModel) != "none";
}

GgufVocab read_gguf_vocab(const ModelFile& model) {
  GgufVocab vocab;
  vocab.name = model.path();
  vocab.model = model.get_string(kModel);
  vocab.pre = model.find_string("tokenizer.ggml.pre").value_or("default");
  vocab.tokens = to_strings(model.get_string_array("tokenizer.ggml.tokens"));
  if (vocab.tokens.empty() || vocab.tokens.size() > static_cast<size_t>(INT32_MAX))
    fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.tokens: expected a vocabulary, got {} tokens",
         quote(model.path(), 200), vocab.tokens.size());
  vocab.scores = model.get_f32_array("tokenizer.ggml.scores");
  check_one_per_token(model, "tokenizer.ggml.scores", vocab.scores.size(), vocab.tokens.size());
  vocab.token_types = model.get_i32_array("tokenizer.ggml.token_type");
  check_one_per_token(model, "tokenizer.ggml.token_type", vocab.token_types.size(), vocab.tokens.size());
  vocab.merges = to_strings(model.get_string_array("tokenizer.ggml.merges"));
  vocab.bos_id = token_id(model, "tokenizer.ggml.bos_token_id");
  vocab.eos_id = token_id(model, "tokenizer.ggml.eos_token_id");
  vocab.unk_id = token_id(model, "tokenizer.ggml.unknown_token_id");
  vocab.pad_id = token_id(model, "tokenizer.ggml.padding_token_id");
  vocab.add_bos = model.find_bool("tokenizer.ggml.add_bos_token");
  vocab.add_eos = model.find_bool("tokenizer.ggml.add_eos_token");
  vocab.add_space_prefix = model.find_bool("tokenizer.ggml.add_space_prefix");
  vocab.remove_extra_whitespaces = model.find_bool("tokenizer.ggml.remove_extra_whitespaces");
  vocab.precompiled_charsmap = byte_array(model, "tokenizer.ggml.precompiled_charsmap");
  return vocab;
}

}  // namespace turgo
