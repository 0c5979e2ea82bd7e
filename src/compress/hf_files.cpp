#include "compress/hf_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "compress/sentencepiece_file.h"
#include "core/error.h"
#include "core/json.h"
#include "io/atomic_file.h"
#include "io/gguf_tokenizer.h"
#include "io/model_assets.h"

namespace turgo {
namespace {

namespace fs = std::filesystem;

struct HfNames {
  const char *architecture, *model_type;
};

HfNames hf_names(const std::string& architecture) {
  static const std::map<std::string, HfNames> kNames = {
      {"llama", {"LlamaForCausalLM", "llama"}},       {"internlm2", {"LlamaForCausalLM", "llama"}},
      {"mistral", {"MistralForCausalLM", "mistral"}}, {"qwen2", {"Qwen2ForCausalLM", "qwen2"}},
      {"qwen3", {"Qwen3ForCausalLM", "qwen3"}},       {"gemma3", {"Gemma3ForCausalLM", "gemma3_text"}}};
  auto it = kNames.find(architecture);
  if (it == kNames.end())
    fail(ErrorCode::kUnsupported, "architecture {} can not be written as a Hugging Face folder yet",
         quote(architecture));
  return it->second;
}

const char* activation_name(Activation a) {
  switch (a) {
    case Activation::kSilu:
      return "silu";
    case Activation::kGeluTanh:
      return "gelu_pytorch_tanh";
    case Activation::kGelu:
      return "gelu";
    case Activation::kRelu:
      return "relu";
  }
  return "";
}

void add_rope(const DecoderConfig& c, const std::string& path, Json& j) {
  const RopeConfig& rope = c.ropes.front();
  j["rope_theta"] = rope.theta;
  switch (rope.scaling) {
    case RopeScaling::kNone:
      j["rope_scaling"] = nullptr;
      break;
    case RopeScaling::kLinear:
    case RopeScaling::kDynamicNtk:
      j["rope_scaling"] = {{"rope_type", rope.scaling == RopeScaling::kLinear ? "linear" : "dynamic"},
                           {"factor", rope.factor}};
      break;
    case RopeScaling::kYarn:
      j["rope_scaling"] = {{"rope_type", "yarn"},
                           {"factor", rope.factor},
                           {"original_max_position_embeddings", rope.original_max_position}};
      break;
    case RopeScaling::kLlama3:
      j["rope_scaling"] = {{"rope_type", "llama3"},
                           {"factor", rope.factor},
                           {"low_freq_factor", rope.low_freq_factor},
                           {"high_freq_factor", rope.high_freq_factor},
                           {"original_max_position_embeddings", rope.original_max_position}};
      break;
    case RopeScaling::kLongRope:
      fail(ErrorCode::kUnsupported,
           "{}: its rope factors per dimension can not be written to config.json; use --export gguf",
           quote(path, 200));
  }
}

void add_gemma(const DecoderConfig& c, Json& j) {
  j.erase("hidden_act");
  j["hidden_activation"] = activation_name(c.activation);
  Json types = Json::array();
  for (const LayerConfig& l : c.layers) {
    const bool sliding = l.attention == AttentionKind::kSliding;
    types.push_back(sliding ? "sliding_attention" : "full_attention");
    if (sliding) {
      j["sliding_window"] = l.sliding_window;
      j["rope_local_base_freq"] = c.ropes[static_cast<size_t>(l.rope)].theta;
    } else {
      j["rope_theta"] = c.ropes[static_cast<size_t>(l.rope)].theta;
    }
  }
  j["layer_types"] = std::move(types);
  j["query_pre_attn_scalar"] = c.attention_scale > 0 ? 1 / (c.attention_scale * c.attention_scale)
                                                     : static_cast<float>(c.layers.front().head_dim);
}

Json fresh_config(const SourceModel& source, const DecoderConfig& c) {
  const HfNames names = hf_names(c.architecture);
  const LayerConfig& l = c.layers.front();
  const SourceLayer first = source.load_layer(0);
  Json j = {{"architectures", {names.architecture}},
            {"model_type", names.model_type},
            {"hidden_size", c.hidden_size},
            {"num_hidden_layers", c.num_layers()},
            {"num_attention_heads", l.num_heads},
            {"num_key_value_heads", l.num_kv_heads},
            {"head_dim", l.head_dim},
            {"intermediate_size", l.intermediate_size},
            {"vocab_size", c.vocab_size},
            {"max_position_embeddings", c.max_position},
            {"rms_norm_eps", c.norm_eps},
            {"hidden_act", activation_name(c.activation)},
            {"attention_bias", !first.q.bias.empty()},
            {"mlp_bias", !first.up.bias.empty()},
            {"tie_word_embeddings", c.tied_embeddings}};
  if (c.bos_token_id >= 0) j["bos_token_id"] = c.bos_token_id;
  if (c.eos_token_ids.size() == 1) j["eos_token_id"] = c.eos_token_ids.front();
  if (c.eos_token_ids.size() > 1) j["eos_token_id"] = c.eos_token_ids;
  if (c.architecture == "gemma3") {
    add_gemma(c, j);
  } else {
    add_rope(c, source.file().path(), j);
  }
  return j;
}

Json regex_split(const std::string& pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

Json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

// By tokenizer.ggml.pre; the patterns are those that the models' own tokenizer.json files publish.
Json pre_tokenizer_of(const std::string& pre, const std::string& path) {
  Json steps = Json::array();
  const std::string llama3_begin = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}";
  const std::string llama3_end = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  if (pre == "smollm") {
    steps = {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)};
  } else if (pre == "gpt-2" || pre == "default") {
    steps = {byte_level(true)};
  } else if (pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3") {
    steps = {regex_split(llama3_begin + "{1,3}" + llama3_end), byte_level(false)};
  } else if (pre == "qwen2") {
    steps = {regex_split(llama3_begin + llama3_end), byte_level(false)};
  } else {
    fail(ErrorCode::kUnsupported,
         "{}: no tokenizer.json is written for the pre-tokenizer {}; use --export gguf", quote(path, 200),
         quote(pre));
  }
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

// As text: a DOM with ordered keys of a whole vocabulary takes quadratic time.
std::string tokenizer_json(const GgufVocab& v, const std::string& path) {
  if (v.model != "gpt2")
    fail(ErrorCode::kUnsupported,
         "{}: a tokenizer is written for byte-level BPE and SentencePiece vocabularies, this is {}; use "
         "--export gguf",
         quote(path, 200), quote(v.model));
  auto type_of = [&](size_t i) { return i < v.token_types.size() ? v.token_types[i] : 1; };
  Json added = Json::array();
  std::string vocab, merges;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    vocab += fmt::format("{}{}:{}", i ? "," : "", Json(v.tokens[i]).dump(), i);
    if (type_of(i) == 3 || type_of(i) == 4)  // control, user-defined
      added.push_back({{"id", i},
                       {"content", v.tokens[i]},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", type_of(i) == 3}});
  }
  for (size_t i = 0; i < v.merges.size(); ++i)
    merges += fmt::format("{}{}", i ? "," : "", Json(v.merges[i]).dump());
  const Json decoder = byte_level(true);
  return fmt::format(
      "{{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":{},\"normalizer\":null,"
      "\"pre_tokenizer\":{},\"post_processor\":null,\"decoder\":{},\"model\":{{\"type\":\"BPE\",\"dropout\":"
      "null,"
      "\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,"
      "\"byte_fallback\":false,\"ignore_merges\":{},\"vocab\":{{{}}},\"merges\":[{}]}}}}",
      added.dump(), pre_tokenizer_of(v.pre, path).dump(), decoder.dump(),
      v.pre.starts_with("llama") ? "true" : "false", vocab, merges);
}

void write_text(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void companions_of_gguf(const SourceModel& source, const std::string& folder) {
  const ModelFile& file = source.file();
  const DecoderConfig& c = source.config();
  if (has_gguf_vocab(file)) {
    const GgufVocab v = read_gguf_vocab(file);
    const bool sentencepiece = v.model == "llama" || v.model == "t5";
    if (sentencepiece) {
      write_text(folder + "/tokenizer.model", sentencepiece_file(v));
    } else {
      write_text(folder + "/tokenizer.json", tokenizer_json(v, file.path()));
    }
    const char* tokenizer_class = !sentencepiece               ? "PreTrainedTokenizerFast"
                                  : c.architecture == "gemma3" ? "GemmaTokenizer"
                                                               : "LlamaTokenizer";
    Json config = {{"tokenizer_class", tokenizer_class},
                   {"model_max_length", c.max_position},
                   {"add_bos_token", v.add_bos.value_or(v.model == "llama")},
                   {"add_eos_token", v.add_eos.value_or(false)},
                   {"clean_up_tokenization_spaces", false}};
    auto token = [&](const char* key, int32_t id) {
      if (id >= 0 && static_cast<size_t>(id) < v.tokens.size())
        config[key] = v.tokens[static_cast<size_t>(id)];
    };
    token("bos_token", v.bos_id);
    token("eos_token", v.eos_id);
    token("unk_token", v.unk_id);
    token("pad_token", v.pad_id);
    if (ModelAssets assets = find_assets(file); !assets.chat_template.empty())
      config["chat_template"] = assets.chat_template;
    write_text(folder + "/tokenizer_config.json", config.dump(2) + "\n");
  }
  Json generation = Json::object();
  if (c.bos_token_id >= 0) generation["bos_token_id"] = c.bos_token_id;
  if (!c.eos_token_ids.empty()) generation["eos_token_id"] = c.eos_token_ids;
  write_text(folder + "/generation_config.json", generation.dump(2) + "\n");
}

}  // namespace

Json hf_config(const SourceModel& source, const DecoderConfig& config, const std::string& dtype) {
  const ModelFile& file = source.file();
  // InternLM2's packed matrices are written apart: as the Llama that it is.
  const bool own = file.kind() == ModelFile::Kind::kHuggingFace && config.architecture != "internlm2";
  Json j = own ? file.metadata() : fresh_config(source, config);
  Json& text = own && j.contains("text_config") && j["text_config"].is_object() ? j["text_config"] : j;
  text["intermediate_size"] = config.layers.front().intermediate_size;
  j.erase("auto_map");
  j.erase("quantization_config");
  j.erase("compression_config");
  j.erase("dtype");
  j["torch_dtype"] = dtype;
  return j;
}

void write_hf_companions(const SourceModel& source, const std::string& folder) {
  if (source.file().kind() == ModelFile::Kind::kGguf) {
    companions_of_gguf(source, folder);
    return;
  }
  static constexpr const char* kFiles[] = {"tokenizer.json",
                                           "tokenizer.model",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "generation_config.json",
                                           "chat_template.jinja",
                                           "chat_template.json",
                                           "preprocessor_config.json"};
  for (const char* name : kFiles) {
    const fs::path from = fs::path(source.file().folder()) / name;
    std::error_code e;
    if (!fs::exists(from, e)) continue;
    fs::copy_file(from, fs::path(folder) / name, e);
    if (e)
      fail(e == std::errc::no_space_on_device ? ErrorCode::kResourceExhausted : ErrorCode::kIo,
           "cannot copy {}: {}", quote(from.string(), 200), e.message());
  }
}

}  // namespace turgo
