#include "compress/gguf_metadata.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "core/error.h"
#include "io/model_assets.h"
#include "text/gguf_pre_tokenizer.h"
#include "text/tokenizer_folder.h"

namespace turgo {
namespace {

[[noreturn]] void unsupported(const SourceModel& source, const char* what) {
  fail(ErrorCode::kUnsupported,
       "{}: {} can not be said in a GGUF file; leave out --export gguf to get a folder",
       quote(source.file().path(), 200), what);
}

bool same_steps(const std::vector<PreTokenizerStep>& a, const std::vector<PreTokenizerStep>& b) {
  return std::ranges::equal(a, b, [](const PreTokenizerStep& x, const PreTokenizerStep& y) {
    return x.kind == y.kind && x.pattern == y.pattern && x.content == y.content && x.is_regex == y.is_regex &&
           x.invert == y.invert && x.individual == y.individual && x.behavior == y.behavior &&
           x.prepend == y.prepend && x.max_digits == y.max_digits;
  });
}

// The name that stands for the tokenizer's own steps.
std::string pre_tokenizer_name(const SourceModel& source, const TokenizerSpec& spec) {
  const bool nfc = std::ranges::any_of(
      spec.normalizers, [](const NormalizerStep& step) { return step.kind == NormalizerStep::Kind::kNfc; });
  for (const char* name : {"smollm", "gpt-2", "llama-bpe", "dbrx", "qwen2", "stablelm2", "qwen35", "gpt-4o",
                           "tekken", "seed-coder", "deepseek-v3", "bailingmoe"}) {
    const GgufPreTokenizer known = gguf_pre_tokenizer(name, "GGUF");
    if (same_steps(known.steps, spec.pre_tokenizers) && known.nfc == nfc &&
        known.ignore_merges == spec.ignore_merges && spec.normalizers.size() == (nfc ? 1 : 0))
      return name;
  }
  unsupported(source, "its pre-tokenizer");
}

void add_merges(const TokenizerSpec& spec, GgufHeader& header) {
  std::vector<std::string> lines;
  lines.reserve(spec.merges.size());
  for (const Merge& m : spec.merges)
    lines.push_back(spec.pieces[static_cast<size_t>(m.left)].text + " " +
                    spec.pieces[static_cast<size_t>(m.right)].text);
  const std::vector<std::string_view> views(lines.begin(), lines.end());
  header.set_strings("tokenizer.ggml.merges", views);
}

// One entry per row of the embedding table: unused ones get names of their own.
void add_pieces(const TokenizerSpec& spec, int32_t vocab_size, bool with_scores, GgufHeader& header) {
  const auto size = static_cast<size_t>(vocab_size);
  std::vector<std::string> tokens(size);
  std::vector<float> scores(size, -10000);
  std::vector<int32_t> types(size, static_cast<int32_t>(PieceType::kUnused));
  for (size_t i = 0; i < std::min(size, spec.pieces.size()); ++i) {
    tokens[i] = spec.pieces[i].text;
    scores[i] = static_cast<float>(spec.pieces[i].score);
    types[i] = static_cast<int32_t>(spec.pieces[i].type);
  }
  for (const AddedToken& t : spec.added_tokens) {
    if (t.id < 0 || t.id >= vocab_size) continue;
    tokens[static_cast<size_t>(t.id)] = t.content;
    types[static_cast<size_t>(t.id)] =
        static_cast<int32_t>(t.special ? PieceType::kControl : PieceType::kUserDefined);
  }
  for (size_t i = 0; i < size; ++i)
    if (tokens[i].empty()) tokens[i] = fmt::format("[PAD{}]", i);
  header.set_strings("tokenizer.ggml.tokens", std::vector<std::string_view>(tokens.begin(), tokens.end()));
  if (with_scores) header.set_f32s("tokenizer.ggml.scores", scores);
  header.set_i32s("tokenizer.ggml.token_type", types);
}

void add_tokenizer(const SourceModel& source, const DecoderConfig& c, GgufHeader& header) {
  const ModelFile& file = source.file();
  if (!has_tokenizer(file.folder())) return;
  const TokenizerSpec spec = read_tokenizer_folder(file.folder());
  const bool merges = spec.model == TokenizerModel::kMergeBpe;
  if (merges && !spec.byte_level) unsupported(source, "a BPE vocabulary over characters");
  header.set_string("tokenizer.ggml.model", merges                                   ? "gpt2"
                                            : spec.model == TokenizerModel::kUnigram ? "t5"
                                                                                     : "llama");
  header.set_string("tokenizer.ggml.pre", merges ? pre_tokenizer_name(source, spec) : "default");
  add_pieces(spec, c.vocab_size, !merges, header);
  if (merges) {
    add_merges(spec, header);
  } else {
    for (const NormalizerStep& step : spec.normalizers)
      if (step.kind == NormalizerStep::Kind::kSentencePiece) {
        header.set_bool("tokenizer.ggml.add_space_prefix", step.add_dummy_prefix);
        header.set_bool("tokenizer.ggml.remove_extra_whitespaces", step.remove_extra_whitespaces);
      }
  }
  header.set_bool("tokenizer.ggml.add_bos_token", spec.add_bos);
  header.set_bool("tokenizer.ggml.add_eos_token", spec.add_eos);
  const ModelAssets assets = find_assets(file);
  if (!assets.chat_template.empty()) header.set_string("tokenizer.chat_template", assets.chat_template);
  auto id = [&](const char* key, int32_t value) {
    if (value >= 0 && value < c.vocab_size) header.set_u32(key, static_cast<uint32_t>(value));
  };
  id("tokenizer.ggml.bos_token_id", spec.bos_id >= 0 ? spec.bos_id : c.bos_token_id);
  std::vector<int32_t> ends = assets.stop_token_ids;
  const int32_t eos = spec.eos_id >= 0 ? spec.eos_id : ends.empty() ? -1 : ends.front();
  id("tokenizer.ggml.eos_token_id", eos);
  std::erase(ends, eos);
  if (!ends.empty()) id("tokenizer.ggml.eot_token_id", ends.front());
  id("tokenizer.ggml.unknown_token_id", spec.unk_id);
  id("tokenizer.ggml.padding_token_id", spec.pad_id);
}

void check_layers(const SourceModel& source, const DecoderConfig& c) {
  const LayerConfig& first = c.layers.front();
  const bool gemma = c.architecture == "gemma3";
  for (int i = 0; i < c.num_layers(); ++i) {
    const LayerConfig& l = c.layers[static_cast<size_t>(i)];
    if (l.num_heads != first.num_heads || l.num_kv_heads != first.num_kv_heads ||
        l.head_dim != first.head_dim || l.intermediate_size != first.intermediate_size ||
        l.mlp != MlpKind::kDense)
      unsupported(source, "layers of different shapes");
    const bool slides = gemma && (i + 1) % 6 != 0;
    if (l.attention != (slides ? AttentionKind::kSliding : AttentionKind::kFull))
      unsupported(source, "this pattern of sliding windows");
  }
  if (gemma && c.attention_scale > 0 &&
      std::fabs(c.attention_scale * std::sqrt(static_cast<float>(first.head_dim)) - 1) > 1e-4f)
    unsupported(source, "its scale of attention");
}

}  // namespace

std::string gguf_architecture(const SourceModel& source) {
  const std::string& name = source.config().architecture;
  if (source.file().kind() == ModelFile::Kind::kGguf) return name;
  if (name == "mistral" || name == "internlm2") return "llama";  // qkv are split when they are read
  if (name != "llama" && name != "qwen2" && name != "qwen3" && name != "gemma3")
    unsupported(source, "its architecture");
  return name;
}

void describe_as_gguf(const SourceModel& source, const DecoderConfig& c, GgufHeader& header) {
  check_layers(source, c);
  const std::string arch = gguf_architecture(source);
  const LayerConfig& l = c.layers.front();
  auto key = [&](const char* name) { return arch + "." + name; };
  auto number = [&](const char* name, int64_t value) {
    header.set_u32(key(name), static_cast<uint32_t>(value));
  };
  header.set_string("general.architecture", arch);
  header.set_u32("general.quantization_version", 2);
  number("block_count", c.num_layers());
  number("context_length", c.max_position);
  number("embedding_length", c.hidden_size);
  number("feed_forward_length", l.intermediate_size);
  number("attention.head_count", l.num_heads);
  number("attention.head_count_kv", l.num_kv_heads);
  number("attention.key_length", l.head_dim);
  number("attention.value_length", l.head_dim);
  number("vocab_size", c.vocab_size);
  header.set_f32(key("attention.layer_norm_rms_epsilon"), c.norm_eps);
  const auto full = std::ranges::find(c.layers, AttentionKind::kFull, &LayerConfig::attention);
  const RopeConfig& rope = c.ropes[static_cast<size_t>((full == c.layers.end() ? l : *full).rope)];
  number("rope.dimension_count", rope.rotary_dim);
  header.set_f32(key("rope.freq_base"), rope.theta);
  if (rope.scaling == RopeScaling::kLinear) {
    header.set_string(key("rope.scaling.type"), "linear");
    header.set_f32(key("rope.scaling.factor"), rope.factor);
  } else if (rope.scaling != RopeScaling::kNone) {
    unsupported(source, "its rope scaling");
  }
  if (arch == "gemma3") number("attention.sliding_window", c.layers.front().sliding_window);
  add_tokenizer(source, c, header);
}

}  // namespace turgo
