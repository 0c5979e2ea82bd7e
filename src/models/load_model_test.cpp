// What load_model() refuses and what it cuts: hostile hyper-parameters and tensor lists (each error names its
// key or tensor), tensor-parallel slices, named skips, and the hook "layers differ in width".
#include "models/load_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/json.h"

namespace turgo {
namespace {

using testing::HasSubstr;
using Rows = std::vector<std::vector<std::byte>>;

std::shared_ptr<const ModelFile> golden(const std::string& name) {
  return open_model(std::string(TURGO_SOURCE_DIR) + "/tests/goldens/models/" + name);
}

// A golden with other metadata or tensors; the map behind the tensors stays.
std::shared_ptr<const ModelFile> edited(const std::string& name,
                                        const std::function<void(Json&, std::vector<RawTensor>&)>& edit) {
  auto file = golden(name);
  ModelFileParts parts;
  parts.kind = file->kind();
  parts.path = name;
  parts.folder = file->folder();
  parts.tensors.assign(file->tensors().begin(), file->tensors().end());
  Json metadata = file->metadata();
  edit(metadata, parts.tensors);
  parts.metadata = std::make_unique<const Json>(std::move(metadata));
  return std::make_shared<const ModelFile>(std::move(parts));
}

std::string error_of(std::shared_ptr<const ModelFile> file, const LoadOptions& options = {}) {
  try {
    load_model(std::move(file), options);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

std::string error_with(const std::string& name, const std::string& key, const Json& value) {
  return error_of(edited(name, [&](Json& m, auto&) { m[key] = value; }));
}

struct Hostile {
  const char* key;
  Json value;
};

TEST(LoadModel, RefusesHostileNumbersByName) {
  const double inf = std::numeric_limits<double>::infinity();
  const Hostile hf[] = {
      {"num_hidden_layers", 0},
      {"num_hidden_layers", 513},
      {"num_hidden_layers", -1},
      {"num_attention_heads", 0},
      {"num_attention_heads", 1 << 20},
      {"num_key_value_heads", 3},
      {"num_key_value_heads", 0},
      {"head_dim", 0},
      {"head_dim", 1 << 20},
      {"head_dim", -8},
      {"max_position_embeddings", 0},
      {"max_position_embeddings", 2147483648},
      {"rope_theta", 0},
      {"rope_theta", std::nan("")},
      {"rope_theta", inf},
      {"rms_norm_eps", 0},
      {"rms_norm_eps", "1e-5"},
      {"hidden_size", 0},
      {"hidden_size", -32},
      {"hidden_size", 32.5},
      {"vocab_size", 0},
      {"vocab_size", 1099511627776},
      {"intermediate_size", -1},
      {"num_hidden_layers", "2"},
      {"tie_word_embeddings", "yes"},
      {"eos_token_id", "</s>"},
      {"num_attention_heads", Json::array({4})},
      {"intermediate_size", {48, -1}},
      {"rope_scaling", 5},
  };
  for (const Hostile& h : hf)
    EXPECT_THAT(error_with("llama_gqa", h.key, h.value), HasSubstr(h.key)) << h.value.dump();
  const Hostile gguf[] = {
      {"llama.block_count", 0},
      {"llama.block_count", 513},
      {"llama.attention.head_count", 0},
      {"llama.attention.head_count_kv", 3},
      {"llama.attention.key_length", 1 << 20},
      {"llama.context_length", 0},
      {"llama.context_length", 2147483648},
      {"llama.rope.freq_base", 0.0},
      {"llama.rope.freq_base", inf},
      {"llama.attention.layer_norm_rms_epsilon", 0.0},
      {"llama.embedding_length", 4294967295},
      {"llama.vocab_size", 65},
      {"llama.rope.scaling.type", "spiral"},
  };
  for (const Hostile& h : gguf) {
    const char* named = std::strcmp(h.key, "llama.rope.scaling.type") ? h.key : "spiral";
    EXPECT_THAT(error_with("gguf_llama", h.key, h.value), HasSubstr(named)) << h.value.dump();
  }
  EXPECT_THAT(error_with("llama_gqa", "num_local_experts", 8), HasSubstr("mixture-of-experts"));
  EXPECT_THAT(error_with("llama_gqa", "hidden_act", "mish"), HasSubstr("mish"));
}

TEST(LoadModel, RefusesHostileRopeScaling) {
  const Hostile cases[] = {
      {"factor", {{"type", "linear"}}},
      {"factor", {{"type", "linear"}, {"factor", 0}}},
      {"high_freq_factor",
       {{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}},
      {"short_factor",
       {{"type", "longrope"}, {"factor", 4}, {"short_factor", {1, 2}}, {"long_factor", {1, 2}}}},
      {"short_factor", {{"type", "longrope"}, {"short_factor", {1, 1, 1, 0}}, {"long_factor", {1, 1, 1, 1}}}},
      {"original_max_position", {{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 1}}},
      {"mrope", {{"type", "mrope"}, {"factor", 4}}},
  };
  for (const Hostile& c : cases)
    EXPECT_THAT(error_with("llama_gqa", "rope_scaling", c.value), HasSubstr(c.key)) << c.value.dump();
}

TEST(LoadModel, UnknownArchitectureListsTheKnown) {
  auto file = edited("llama_gqa", [](Json& m, auto&) {
    m["architectures"] = {"MambaForCausalLM"};
    m["model_type"] = "mamba";
  });
  std::string error = error_of(file);
  EXPECT_THAT(error, HasSubstr("MambaForCausalLM"));
  for (const char* known : {"llama", "mistral", "qwen2", "qwen3", "gemma3", "internlm2"})
    EXPECT_THAT(error, HasSubstr(known));
  EXPECT_THAT(error_with("gguf_llama", "general.architecture", "rwkv7"), HasSubstr("rwkv7"));
  auto none = edited("llama_gqa", [](Json& m, auto&) {
    m.erase("architectures");
    m.erase("model_type");
  });
  EXPECT_THAT(error_of(none), HasSubstr("expected architectures"));
}

TEST(LoadModel, NamesMissingExtraAndMisshapenTensors) {
  auto without = [](const std::string& part) {
    return edited("llama_gqa", [&](Json&, auto& tensors) {
      std::erase_if(tensors, [&](const RawTensor& t) { return t.name.find(part) != std::string::npos; });
    });
  };
  EXPECT_THAT(error_of(without("layers.1.mlp.up_proj")), HasSubstr("model.layers.1.mlp.up_proj.weight"));
  EXPECT_THAT(error_of(without("lm_head")), HasSubstr("lm_head.weight"));
  EXPECT_THAT(error_of(without("layers.1.")), HasSubstr("and 6 more"));
  EXPECT_THAT(error_with("llama_gqa", "num_hidden_layers", 3),
              HasSubstr("model.layers.2.input_layernorm.weight"));
  // One layer fewer than the file has, and a bias that the configuration does not announce.
  EXPECT_THAT(error_with("llama_gqa", "num_hidden_layers", 1), HasSubstr("model.layers.1."));
  EXPECT_THAT(error_with("llama_bias_tied", "attention_bias", false), HasSubstr("_proj.bias"));
  std::string shape = error_with("llama_gqa", "intermediate_size", 64);
  EXPECT_THAT(shape,
              HasSubstr("gate_proj.weight': expected shape [64, 32] from the configuration, got [48, 32]"));
  EXPECT_THAT(error_with("llama_gqa", "vocab_size", 65),
              HasSubstr("embed_tokens.weight': expected shape [65, 32]"));
  auto integer = edited("llama_gqa", [](Json&, auto& tensors) {
    for (RawTensor& t : tensors)
      if (t.name == "model.layers.0.self_attn.q_proj.weight") t.dtype = DType::kI8;
  });
  EXPECT_THAT(error_of(integer), HasSubstr("q_proj.weight' has type i8"));
}

// One NaN at the end of any tensor that is used: an error that names it, on one thread and on several.
TEST(LoadModel, RefusesWeightsThatAreNotFinite) {
  ThreadTeam team(2);
  LoadOptions parallel;
  parallel.team = &team;
  for (const char* name : {"llama_gqa", "llama_bias_tied", "gemma3_nested", "internlm2", "gguf_llama"}) {
    const LoadedModel good = load_model(golden(name), parallel);
    for (const RawTensor& victim : good.file->tensors()) {
      if (std::count(good.skipped.begin(), good.skipped.end(), victim.name)) continue;
      SCOPED_TRACE(std::string(name) + " " + victim.name);
      std::vector<std::byte> bad(victim.bytes.begin(), victim.bytes.end());
      bad[bad.size() - 2] = std::byte{0xff};  // NaN in every plain float type
      bad[bad.size() - 1] = std::byte{0x7f};
      auto file = edited(name, [&](Json&, auto& tensors) {
        for (RawTensor& t : tensors)
          if (t.name == victim.name) t.bytes = bad;
      });
      for (const LoadOptions& options : {LoadOptions{}, parallel})
        EXPECT_THAT(error_of(file, options),
                    testing::AllOf(HasSubstr(victim.name), HasSubstr("finite numbers")));
    }
  }
}

TEST(LoadModel, SkipsVisionTensorsByNameAndReadsNestedConfig) {
  LoadedModel model = load_model(golden("gemma3_nested"), {});
  EXPECT_THAT(model.skipped,
              testing::UnorderedElementsAre("vision_tower.vision_model.embeddings.patch_embedding.bias",
                                            "multi_modal_projector.mm_soft_emb_norm.weight"));
  EXPECT_EQ(model.config.num_layers(), 2);
  EXPECT_EQ(model.config.layers[0].sliding_window, 8);
  EXPECT_EQ(model.config.layers[1].attention, AttentionKind::kFull);
  EXPECT_EQ(model.config.ropes[0].scaling, RopeScaling::kLinear);
  EXPECT_EQ(model.config.eos_token_ids, (std::vector<int32_t>{1}));  // 106 is no token of this vocabulary
  EXPECT_EQ(model.config.embedding_scale, 5.65625f);                 // sqrt(32) in bf16
}

TEST(LoadModel, GemmaDefaultsFillWhatPublishedFoldersLeaveOut) {
  // text_config of google/gemma-3-4b-it: no head counts, no vocabulary, no eps.
  auto file = edited("gemma3_nested", [](Json& m, auto&) {
    m["text_config"] = {
        {"hidden_size", 2560},         {"intermediate_size", 10240},
        {"model_type", "gemma3_text"}, {"num_hidden_layers", 34},
        {"sliding_window", 1024},      {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}}};
  });
  DecoderConfig c = read_decoder_config(*file);
  EXPECT_EQ(c.layers[0].num_heads, 8);
  EXPECT_EQ(c.layers[0].num_kv_heads, 4);
  EXPECT_EQ(c.layers[0].head_dim, 256);
  EXPECT_EQ(c.vocab_size, 262208);
  EXPECT_TRUE(c.tied_embeddings);
  for (int i = 0; i < 34; ++i)
    EXPECT_EQ(c.layers[static_cast<size_t>(i)].attention,
              i % 6 == 5 ? AttentionKind::kFull : AttentionKind::kSliding);
  EXPECT_EQ(c.ropes[0].theta, 1000000);
  EXPECT_EQ(c.ropes[0].factor, 8);
  EXPECT_EQ(c.ropes[1].theta, 10000);
  EXPECT_EQ(c.attention_scale, 0.0625f);
}

TEST(LoadModel, GemmaReadsBothSpellingsOfItsRopes) {
  DecoderConfig old = read_decoder_config(*golden("gemma3"));
  DecoderConfig now = read_decoder_config(*edited("gemma3", [](Json& m, auto&) {
    m.erase("rope_theta");
    m.erase("rope_local_base_freq");
    m["rope_parameters"] = {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 1e6}}},
                            {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 100.0}}}};
  }));
  ASSERT_EQ(now.ropes.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(now.ropes[i].theta, old.ropes[i].theta);
    EXPECT_EQ(now.ropes[i].rotary_dim, old.ropes[i].rotary_dim);
  }
  EXPECT_EQ(now.layers[0].rope, 1);
  EXPECT_EQ(now.layers[2].rope, 0);
}

TEST(LoadModel, LayersMayDifferInWidth) {
  LoadedModel model = load_model(golden("llama_widths"), {});
  ASSERT_EQ(model.config.num_layers(), 3);
  const int heads[] = {4, 2, 6}, kv[] = {2, 1, 2}, width[] = {48, 16, 40};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(model.config.layers[i].num_heads, heads[i]);
    EXPECT_EQ(model.config.layers[i].intermediate_size, width[i]);
    EXPECT_EQ(model.weights.layers[i].qkv.n, (heads[i] + 2 * kv[i]) * 8);
    EXPECT_EQ(model.weights.layers[i].gate_up.n, 2 * width[i]);
  }
  EXPECT_THAT(error_with("llama_widths", "intermediate_size", {48, 16}),
              HasSubstr("one for each of the 3 layers"));
}

TEST(LoadModel, GenerationConfigAddsEnds) {
  auto folder = std::filesystem::path(testing::TempDir()) / "turgo_generation_config";
  std::filesystem::create_directories(folder);
  auto source = std::filesystem::path(TURGO_SOURCE_DIR) / "tests/goldens/models/llama_gqa";
  for (const char* name : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(source / name, folder / name,
                               std::filesystem::copy_options::overwrite_existing);
  std::ofstream(folder / "generation_config.json") << R"({"eos_token_id": [2, 7, 9999, -1]})";
  DecoderConfig c = read_decoder_config(*open_model(folder.string()));
  EXPECT_EQ(c.eos_token_ids, (std::vector<int32_t>{2, 7}));  // 2 stands in config.json too
  EXPECT_EQ(c.bos_token_id, 1);
  std::filesystem::remove_all(folder);
}

TEST(LoadModel, AutoMapIsNeverFollowed) {
  auto file = edited("internlm2", [](Json& m, auto&) {
    m["auto_map"] = {{"AutoModelForCausalLM", "../../../../etc/passwd.Evil"}};
  });
  EXPECT_EQ(load_model(file, {}).config.architecture, "internlm2");
}

TEST(LoadModel, PrecisionFollowsTheWeightsUnlessAsked) {
  EXPECT_EQ(load_model(golden("llama_gqa"), {}).precision, Precision::kBF16);
  LoadOptions options;
  options.precision = Precision::kF32;
  EXPECT_EQ(load_model(golden("llama_gqa"), options).precision, Precision::kF32);
  options.precision = Precision::kInt8;
  EXPECT_EQ(load_model(golden("llama_gqa"), options).precision, Precision::kBF16);
}

TEST(LoadModel, ProgressEndsAtTheTotal) {
  int64_t last = -1, total = 0, calls = 0;
  LoadOptions options;
  options.progress = [&](int64_t done, int64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
    ++calls;
  };
  load_model(golden("llama_gqa"), options);
  EXPECT_EQ(last, total);
  EXPECT_EQ(calls, 4);  // start, two layers, tables
}

// Its weights are read for seconds: a download that starts over meanwhile must not end the process.
TEST(LoadModel, AFileThatIsCutWhileItIsReadIsAnError) {
  std::string path = testing::TempDir() + fmt::format("turgo_cut_{}.gguf", getpid());
  std::filesystem::copy_file(std::string(TURGO_SOURCE_DIR) + "/tests/goldens/models/gguf_llama/model.gguf",
                             path, std::filesystem::copy_options::overwrite_existing);
  LoadOptions options;
  options.progress = [&](int64_t, int64_t) { std::filesystem::resize_file(path, 3000); };
  EXPECT_THAT(error_of(open_model(path), options), HasSubstr("while it was in use"));
  std::filesystem::remove(path);
}

// Rows in the file's format.
Rows rows_of(const LinearWeight& w) {
  Rows rows;
  for (const PackedWeight& s : std::get<PackedSegments>(w.data).segments)
    for (int64_t r = 0; r < s.n; ++r) {
      rows.emplace_back(static_cast<size_t>(row_bytes(s.dtype, s.k)));
      unpack_row(s, r, rows.back().data());
    }
  return rows;
}

void append(Rows& to, const Rows& from, int64_t begin, int64_t count) {
  to.insert(to.end(), from.begin() + begin, from.begin() + begin + count);
}

void expect_slices(const std::string& name, int world) {
  SCOPED_TRACE(fmt::format("{} over {} ranks", name, world));
  LoadedModel whole = load_model(golden(name), {});
  std::vector<LoadedModel> ranks;
  for (int r = 0; r < world; ++r) {
    LoadOptions options;
    options.plan.rank = r;
    options.plan.world = world;
    ranks.push_back(load_model(golden(name), options));
  }
  for (size_t i = 0; i < whole.config.layers.size(); ++i) {
    const LayerConfig &g = whole.config.layers[i], &l = ranks[0].config.layers[i];
    int64_t q = g.num_heads * g.head_dim, kv = g.num_kv_heads * g.head_dim;
    int64_t lq = l.num_heads * l.head_dim, lkv = l.num_kv_heads * l.head_dim;
    int copies = std::max(1, world / g.num_kv_heads);  // ranks that share a kv head
    ASSERT_EQ(lq * world, q);
    ASSERT_EQ(lkv * world, kv * copies);
    Rows parts[3], gate, up, o(static_cast<size_t>(whole.config.hidden_size)), down = o;
    for (int r = 0; r < world; ++r) {
      const LayerWeights& w = ranks[static_cast<size_t>(r)].weights.layers[i];
      EXPECT_EQ(w.qkv.shard.kind, copies > 1 ? Shard::kKvReplicated : Shard::kColumn);
      EXPECT_EQ(w.o_proj.shard.kind, Shard::kRow);
      Rows qkv = rows_of(w.qkv), gate_up = rows_of(w.gate_up), ro = rows_of(w.o_proj),
           rd = rows_of(w.down_proj);
      append(parts[0], qkv, 0, lq);
      if (r % copies == 0) append(parts[1], qkv, lq, lkv);
      if (r % copies == 0) append(parts[2], qkv, lq + lkv, lkv);
      append(gate, gate_up, 0, l.intermediate_size);
      append(up, gate_up, l.intermediate_size, l.intermediate_size);
      for (size_t j = 0; j < o.size(); ++j) o[j].insert(o[j].end(), ro[j].begin(), ro[j].end());
      for (size_t j = 0; j < down.size(); ++j) down[j].insert(down[j].end(), rd[j].begin(), rd[j].end());
    }
    const LayerWeights& w = whole.weights.layers[i];
    append(parts[0], parts[1], 0, kv);
    append(parts[0], parts[2], 0, kv);
    append(gate, up, 0, g.intermediate_size);
    EXPECT_EQ(parts[0], rows_of(w.qkv));
    EXPECT_EQ(gate, rows_of(w.gate_up));
    EXPECT_EQ(o, rows_of(w.o_proj));
    EXPECT_EQ(down, rows_of(w.down_proj));
  }
  Rows head;
  for (const LoadedModel& rank : ranks)
    append(head, rows_of(rank.weights.lm_head), 0, rank.weights.lm_head.n);
  EXPECT_EQ(head, rows_of(whole.weights.lm_head));
}

// gguf_llama with some matrices quantised: any bytes with finite scales are valid blocks, and packing must
// keep each of them.
std::shared_ptr<const ModelFile> quantized(std::vector<std::pair<std::string, DType>> types) {
  static const std::vector<std::byte> noise = [] {
    std::vector<std::byte> bytes(1 << 16);
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = static_cast<std::byte>((i * 2654435761u) >> 13 & 0xfb);  // no infinite scale
    return bytes;
  }();
  return edited("gguf_llama", [&](Json&, auto& tensors) {
    for (RawTensor& t : tensors)
      for (const auto& [name, dtype] : types)
        if (t.name == name) {
          t.dtype = dtype;
          t.bytes = std::span(noise).subspan(name.size(),
                                             static_cast<size_t>(t.shape[0] * row_bytes(dtype, t.shape[1])));
        }
  });
}

TEST(LoadModel, FusedMatrixKeepsTheTypeOfEachPart) {
  auto file = quantized({{"blk.0.attn_q.weight", DType::kQ4_0},
                         {"blk.0.attn_k.weight", DType::kQ4_0},
                         {"blk.0.attn_v.weight", DType::kQ8_0}});
  LoadedModel model = load_model(file, {});
  EXPECT_EQ(model.precision, Precision::kInt8);
  const LinearWeight& qkv = model.weights.layers[0].qkv;
  const auto& segments = std::get<PackedSegments>(qkv.data).segments;
  ASSERT_EQ(segments.size(), 2u);  // q and k join: same type, and q fills whole panels
  EXPECT_EQ(segments[0].n, 48);
  EXPECT_EQ(segments[1].dtype, DType::kQ8_0);
  Rows rows = rows_of(qkv);
  size_t at = 0;
  for (const char* name : {"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"}) {
    const RawTensor& t = file->get(name);
    auto size = static_cast<size_t>(row_bytes(t.dtype, t.shape[1]));
    for (int64_t r = 0; r < t.shape[0]; ++r, ++at) {
      auto want = t.bytes.subspan(static_cast<size_t>(r) * size, size);
      EXPECT_TRUE(std::ranges::equal(rows[at], want)) << name << " row " << r;
    }
  }
}

TEST(LoadPlan, QuantisedColumnsAreCutOnBlocksOnly) {
  LoadOptions options;
  options.plan = {0, 2, {}};
  EXPECT_THAT(error_of(quantized({{"blk.1.attn_output.weight", DType::kQ4_0}}), options),
              HasSubstr("would cut its 32 columns inside blocks of 32 (q4_0)"));
}

TEST(LoadPlan, SlicesConcatenateToTheWhole) {
  for (const char* name : {"llama_gqa", "internlm2", "gguf_llama", "qwen2"})
    for (int world : {2, 4}) expect_slices(name, world);
}

TEST(LoadPlan, BiasesFollowTheirRowsAndRowParallelOnesAreAddedOnce) {
  LoadedModel whole = load_model(golden("llama_bias_tied"), {});
  const LayerWeights& all = whole.weights.layers[0];
  for (int r = 0; r < 2; ++r) {
    LoadOptions options;
    options.plan = {r, 2, {}};
    LoadedModel rank = load_model(golden("llama_bias_tied"), options);
    const LayerWeights& w = rank.weights.layers[0];
    for (int part = 0; part < 3; ++part)
      for (int j = 0; j < 16; ++j)
        EXPECT_EQ(w.qkv.bias[part * 16 + j], all.qkv.bias[part * 32 + r * 16 + j]) << part;
    EXPECT_EQ(w.o_proj.bias != nullptr, r == 0);
    EXPECT_EQ(w.down_proj.bias != nullptr, r == 0);
    // A tied table that is cut for the head still serves every token's embedding.
    EXPECT_EQ(rank.weights.embed_tokens.n, 64);
    EXPECT_EQ(rank.weights.lm_head.n, 32);
  }
}

TEST(LoadPlan, RefusesWhatCanNotBeCut) {
  LoadOptions options;
  options.plan = {0, 3, {}};
  EXPECT_THAT(error_of(golden("llama_gqa"), options), HasSubstr("3 ranks can not share layer 0"));
  options.plan = {2, 2, {}};
  EXPECT_THAT(error_of(golden("llama_gqa"), options), HasSubstr("expected a rank of 0 to 1"));
}

}  // namespace
}  // namespace turgo
