// Writers and readers against each other: GGUF, split GGUF, Hugging Face folders, assets, npy, atomic files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "core/error.h"
#include "core/json.h"
#include "io/atomic_file.h"
#include "io/gguf_tokenizer.h"
#include "io/gguf_writer.h"
#include "io/model_assets.h"
#include "io/model_file.h"
#include "io/npy.h"
#include "io/safetensors_writer.h"
#include "io/temp_folder_test_util.h"

namespace turgo {
namespace {

using ::testing::HasSubstr;

std::vector<std::byte> pattern(size_t n, int seed) {
  std::vector<std::byte> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(seed));
  return out;
}

void write_gguf(const std::string& path, const GgufHeader& header) {
  GgufWriter writer(path, header);
  int seed = 0;
  for (const auto& t : header.tensors()) writer.write_tensor(pattern(t.size_bytes, seed++));
  writer.finish();
}

GgufHeader small_header(uint32_t alignment = 32) {
  GgufHeader h(alignment);
  h.set_string("general.architecture", "llama");
  h.set_u32("llama.block_count", 2);
  h.set_i32("some.negative", -3);
  h.set_u64("some.large", uint64_t{1} << 40);
  h.set_f32("llama.rope.freq_base", 10000.0f);
  h.set_bool("tokenizer.ggml.add_bos_token", true);
  h.set_strings("tokenizer.ggml.tokens", std::vector<std::string_view>{"<s>", "</s>", "a", "\xff"});
  h.set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{3, 3, 1, 1});
  h.set_f32s("tokenizer.ggml.scores", std::vector<float>{0, 0, -1.5f, -2});
  h.set_u32("tokenizer.ggml.eos_token_id", 1);
  h.set_u32("tokenizer.ggml.bos_token_id", 0);
  h.set_string("tokenizer.chat_template", "{{ messages }}");
  h.set_string("tokenizer.chat_template.rag", "{{ rag }}");
  h.add_tensor("token_embd.weight", DType::kQ8_0, {4, 64});
  h.add_tensor("blk.0.attn_norm.weight", DType::kF32, {3});
  h.add_tensor("blk.0.ffn_up.weight", DType::kQ6_K, {2, 256});
  return h;
}

TEST(Gguf, RoundTrip) {
  TempFolder dir;
  for (uint32_t alignment : {1u, 32u, 64u, 4096u}) {
    auto h = small_header(alignment);
    write_gguf(dir / "a.gguf", h);
    auto m = open_model(dir / "a.gguf");
    EXPECT_EQ(m->kind(), ModelFile::Kind::kGguf);
    ASSERT_EQ(m->tensors().size(), 3u);
    const auto& t = m->get("blk.0.ffn_up.weight");
    EXPECT_EQ(t.shape, (Shape{2, 256}));
    EXPECT_EQ(t.dtype, DType::kQ6_K);
    EXPECT_THAT(t.bytes, ::testing::ElementsAreArray(pattern(420, 2)));
    EXPECT_EQ(m->find("nothing"), nullptr);
    EXPECT_EQ(m->get_u32("llama.block_count"), 2u);
    EXPECT_EQ(m->get_int("some.negative"), -3);
    EXPECT_EQ(m->get_int("some.large"), int64_t{1} << 40);
    EXPECT_EQ(m->get_f32("llama.rope.freq_base"), 10000.0f);
    EXPECT_TRUE(m->get_bool("tokenizer.ggml.add_bos_token"));
    EXPECT_THAT(m->get_string_array("tokenizer.ggml.tokens"),
                ::testing::ElementsAre("<s>", "</s>", "a", "\xff"));
    EXPECT_THAT(m->get_i32_array("tokenizer.ggml.token_type"), ::testing::ElementsAre(3, 3, 1, 1));
    EXPECT_THAT(m->get_f32_array("tokenizer.ggml.scores"), ::testing::ElementsAre(0, 0, -1.5f, -2));
    EXPECT_THAT(m->get_i32_array("absent"), ::testing::IsEmpty());
    EXPECT_FALSE(m->find_u32("absent").has_value());
    m->check_unchanged();
  }
}

TEST(Gguf, TypedAccessorsNameFileKeyAndValue) {
  TempFolder dir;
  write_gguf(dir / "a.gguf", small_header());
  auto m = open_model(dir / "a.gguf");
  auto expect = [](auto call, const char* key, const char* text) {
    try {
      call();
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(e.what(), ::testing::AllOf(HasSubstr("a.gguf"), HasSubstr(key), HasSubstr(text)));
    }
  };
  expect([&] { m->get_u32("some.negative"); }, "some.negative", "-3");
  expect([&] { m->get_u32("some.large"); }, "some.large", "1099511627776");
  expect([&] { m->get_int("llama.block_count", 3, 512); }, "llama.block_count",
         "integer of 3 to 512, got '2'");
  expect([&] { m->get_u32("general.architecture"); }, "general.architecture", "llama");
  expect([&] { m->get_string("llama.block_count"); }, "llama.block_count", "a string");
  expect([&] { m->get_bool("llama.block_count"); }, "llama.block_count", "true or false");
  expect([&] { m->get_f32("absent.key"); }, "absent.key", "found none");
  expect([&] { m->get_f32_array("tokenizer.ggml.tokens"); }, "tokenizer.ggml.tokens", "string");
  expect([&] { m->get_string_array("tokenizer.ggml.scores"); }, "tokenizer.ggml.scores", "f32");
  expect([&] { m->get("blk.9.x"); }, "blk.9.x", "tensor");
}

TEST(Gguf, SplitFilesByAnyShardOrFolder) {
  TempFolder dir;
  for (int i = 1; i <= 3; ++i) {
    GgufHeader h;
    h.set_u32("split.no", static_cast<uint32_t>(i - 1));
    h.set_u32("split.count", 3);
    h.set_i32("split.tensors.count", 2);
    if (i == 1) h.set_string("general.architecture", "llama");
    if (i > 1) h.add_tensor(i == 2 ? "a" : "b", DType::kF32, {i});
    write_gguf(dir / ("m-0000" + std::to_string(i) + "-of-00003.gguf"), h);
  }
  for (const auto& path : {dir / "m-00001-of-00003.gguf", dir / "m-00003-of-00003.gguf", dir.path()}) {
    auto m = open_model(path);
    EXPECT_EQ(m->path(), path);
    EXPECT_EQ(m->tensors().size(), 2u);
    EXPECT_EQ(m->get("b").shape, Shape{3});
    EXPECT_EQ(m->get_string("general.architecture"), "llama");
  }
  std::filesystem::remove(dir / "m-00002-of-00003.gguf");
  EXPECT_ERROR(open_model(dir.path()), ErrorCode::kNotFound, "shard 2 of 3");
  std::filesystem::copy_file(dir / "m-00003-of-00003.gguf", dir / "m-00002-of-00003.gguf");
  EXPECT_ERROR(open_model(dir.path()), ErrorCode::kCorrupt, "two files");
}

TEST(Gguf, CopyMetadataKeepsEverything) {
  TempFolder dir;
  write_gguf(dir / "a.gguf", small_header(64));
  auto a = open_model(dir / "a.gguf");
  GgufHeader h;
  h.set_string("general.architecture", "other");
  h.copy_metadata(*a);
  h.add_tensor("x", DType::kF32, {1});
  write_gguf(dir / "b.gguf", h);
  auto b = open_model(dir / "b.gguf");
  EXPECT_EQ(b->get_string("general.architecture"), "other");
  EXPECT_EQ(b->get_int("some.negative"), -3);
  EXPECT_EQ(b->get_int("some.large"), int64_t{1} << 40);
  EXPECT_EQ(b->get_string_array("tokenizer.ggml.tokens"), a->get_string_array("tokenizer.ggml.tokens"));
  EXPECT_FALSE(b->has("general.alignment"));
}

TEST(Gguf, FingerprintSeesContent) {
  TempFolder dir;
  write_gguf(dir / "a.gguf", small_header());
  write_gguf(dir / "b.gguf", small_header());
  auto h = small_header();
  h.set_u32("extra", 1);
  write_gguf(dir / "c.gguf", h);
  EXPECT_EQ(open_model(dir / "a.gguf")->fingerprint(), open_model(dir / "b.gguf")->fingerprint());
  EXPECT_NE(open_model(dir / "a.gguf")->fingerprint(), open_model(dir / "c.gguf")->fingerprint());
}

TEST(Gguf, NoticesAFileThatChangesWhileItIsMapped) {
  TempFolder dir;
  write_gguf(dir / "a.gguf", small_header());
  auto m = open_model(dir / "a.gguf");
  std::filesystem::resize_file(dir / "a.gguf", 100);
  EXPECT_ERROR(m->check_unchanged(), ErrorCode::kIo, "100 bytes");
  // Replaced or unlinked: the old content stays mapped, which is no error.
  write_gguf(dir / "b.gguf", small_header());
  m = open_model(dir / "b.gguf");
  write_gguf(dir / "b.gguf", small_header(64));
  m->check_unchanged();
  std::filesystem::remove(dir / "b.gguf");
  m->check_unchanged();
  EXPECT_EQ(m->get("token_embd.weight").bytes[1], std::byte{7});
}

// ---- Hugging Face folders ----

void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, Shape>>& tensors,
                       DType dtype = DType::kBF16) {
  SafetensorsWriter w(path);
  w.set_metadata("format", "pt");
  for (const auto& [name, shape] : tensors) w.declare(name, dtype, shape);
  int seed = 0;
  for (const auto& [name, shape] : tensors)
    w.write_tensor(pattern(static_cast<size_t>(shape.numel() * dtype_info(dtype).block_bytes), seed++));
  w.finish();
}

TEST(HuggingFace, SingleFileWithAssets) {
  TempFolder dir;
  dir.write("config.json",
            R"({"architectures":["LlamaForCausalLM"],"hidden_size":8,"rope_theta":1e4,"tie":null,
      "eos_token_id":[2,7],"auto_map":{"AutoModel":"evil.py"},"layer_types":["a","b"],"pattern":[1,2]})");
  write_safetensors(dir / "model.safetensors",
                    {{"a.weight", {2, 3}}, {"empty", {0, 4}}, {"scalar", {}}, {"b \"quoted\" é", {5}}});
  auto m = open_model(dir.path());
  EXPECT_EQ(m->kind(), ModelFile::Kind::kHuggingFace);
  EXPECT_EQ(m->folder(), dir.path());
  ASSERT_EQ(m->tensors().size(), 4u);
  EXPECT_EQ(m->get("a.weight").shape, (Shape{2, 3}));
  EXPECT_THAT(m->get("a.weight").bytes, ::testing::ElementsAreArray(pattern(12, 0)));
  EXPECT_EQ(m->get("scalar").shape.rank, 0);
  EXPECT_EQ(m->get("scalar").bytes.size(), 2u);
  EXPECT_EQ(m->get("b \"quoted\" é").bytes.size(), 10u);
  EXPECT_EQ(m->get_u32("hidden_size"), 8u);
  EXPECT_EQ(m->get_f32("rope_theta"), 1e4f);
  EXPECT_FALSE(m->find_bool("tie").has_value());
  EXPECT_THAT(m->get_string_array("layer_types"), ::testing::ElementsAre("a", "b"));
  EXPECT_THAT(m->get_i32_array("pattern"), ::testing::ElementsAre(1, 2));

  auto assets = find_assets(*m);
  EXPECT_EQ(assets.tokenizer_json, "");
  EXPECT_EQ(assets.chat_template, "");
  EXPECT_THAT(assets.stop_token_ids, ::testing::ElementsAre(2, 7));
  EXPECT_TRUE(assets.generation_config->is_object());

  dir.write("generation_config.json", R"({"eos_token_id": 5, "temperature": 0.7})");
  dir.write("tokenizer.json", "{}");
  dir.write("tokenizer_config.json",
            R"({"bos_token":"<s>","eos_token":{"content":"</s>"},"add_bos_token":true,
      "chat_template":[{"name":"default","template":"D"},{"name":"tool_use","template":"T"}]})");
  assets = find_assets(*m);
  EXPECT_EQ(assets.tokenizer_json, dir / "tokenizer.json");
  EXPECT_EQ(assets.chat_template, "D");
  EXPECT_EQ(assets.named_templates.at("tool_use"), "T");
  EXPECT_EQ(assets.bos_token + assets.eos_token, "<s></s>");
  EXPECT_EQ(assets.add_bos_token, 1);
  EXPECT_EQ(assets.add_eos_token, -1);
  EXPECT_THAT(assets.stop_token_ids, ::testing::ElementsAre(5));
  EXPECT_EQ((*assets.generation_config)["temperature"], 0.7);
  dir.write("chat_template.jinja", "J");
  EXPECT_EQ(find_assets(*m).chat_template, "J");
  dir.write("chat_template.jinja", std::string((1 << 20) + 1, 'x'));
  EXPECT_ERROR(find_assets(*m), ErrorCode::kCorrupt, "at most 1048576 bytes");
  dir.write("chat_template.jinja", "J");
  dir.write("tokenizer_config.json", R"({"chat_template":7})");
  EXPECT_ERROR(find_assets(*m), ErrorCode::kCorrupt, "chat_template");
  dir.write("tokenizer_config.json", "{}");
  dir.write("generation_config.json", R"({"eos_token_id": "x"})");
  EXPECT_ERROR(find_assets(*m), ErrorCode::kCorrupt, "eos_token_id");
}

TEST(HuggingFace, ShardsAndSymbolicLinks) {
  TempFolder blobs, dir;
  write_safetensors(blobs / "x1", {{"a", {1}}, {"unlisted", {2}}});
  write_safetensors(blobs / "x2", {{"b", {3}}}, DType::kF32);
  blobs.write("config", "{}");
  std::filesystem::create_symlink(blobs / "x1", dir / "model-00001-of-00002.safetensors");
  std::filesystem::create_symlink(blobs / "x2", dir / "model-00002-of-00002.safetensors");
  std::filesystem::create_symlink(blobs / "config", dir / "config.json");
  dir.write("model.safetensors.index.json", R"({"metadata":{"total_size":3},"weight_map":{
      "a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}})");
  TempFolder outer;
  std::filesystem::create_directory_symlink(dir.path(), outer / "link");
  auto m = open_model(outer / "link");
  EXPECT_EQ(m->tensors().size(), 2u);
  EXPECT_EQ(m->get("b").dtype, DType::kF32);
  EXPECT_EQ(m->total_bytes(),
            std::filesystem::file_size(blobs / "x1") + std::filesystem::file_size(blobs / "x2"));
}

TEST(Gguf, Assets) {
  TempFolder dir;
  write_gguf(dir / "a.gguf", small_header());
  auto assets = find_assets(*open_model(dir / "a.gguf"));
  EXPECT_EQ(assets.chat_template, "{{ messages }}");
  EXPECT_EQ(assets.named_templates.at("rag"), "{{ rag }}");
  EXPECT_EQ(assets.bos_token, "<s>");
  EXPECT_EQ(assets.eos_token, "</s>");
  EXPECT_THAT(assets.stop_token_ids, ::testing::ElementsAre(1));
}

TEST(Gguf, Vocabulary) {
  TempFolder dir;
  auto with = [&](auto change) {
    GgufHeader h;
    h.set_string("tokenizer.ggml.model", "llama");
    h.set_strings("tokenizer.ggml.tokens", std::vector<std::string_view>{"<s>", "a", "b"});
    change(h);
    h.add_tensor("x", DType::kF32, {1});
    write_gguf(dir / "v.gguf", h);
    auto m = open_model(dir / "v.gguf");
    EXPECT_TRUE(has_gguf_vocab(*m));
    return read_gguf_vocab(*m);
  };
  auto vocab = with([](GgufHeader& h) {
    h.set_f32s("tokenizer.ggml.scores", std::vector<float>{0, -1, -2});
    h.set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{3, 1, 1});
    h.set_strings("tokenizer.ggml.merges", std::vector<std::string_view>{"a b"});
    h.set_u32("tokenizer.ggml.bos_token_id", 0);
    h.set_u32("tokenizer.ggml.padding_token_id", UINT32_MAX);
    h.set_bool("tokenizer.ggml.add_bos_token", true);
    uint8_t map[] = {1, 2, 0};
    h.set_array("tokenizer.ggml.precompiled_charsmap", {0, 3, std::as_bytes(std::span(map))});
  });
  EXPECT_THAT(vocab.tokens, ::testing::ElementsAre("<s>", "a", "b"));
  EXPECT_THAT(vocab.scores, ::testing::ElementsAre(0, -1, -2));
  EXPECT_THAT(vocab.merges, ::testing::ElementsAre("a b"));
  EXPECT_EQ(vocab.pre, "default");
  EXPECT_EQ(vocab.bos_id, 0);
  EXPECT_EQ(vocab.eos_id, -1);
  EXPECT_EQ(vocab.pad_id, -1);
  EXPECT_EQ(vocab.add_bos, true);
  EXPECT_FALSE(vocab.add_eos.has_value());
  EXPECT_EQ(vocab.precompiled_charsmap, std::string("\1\2\0", 3));

  auto bad = [&](const char* words, auto change) { EXPECT_ERROR(with(change), ErrorCode::kCorrupt, words); };
  bad("each of 3 tokens, got 2",
      [](GgufHeader& h) { h.set_f32s("tokenizer.ggml.scores", std::vector<float>{0, -1}); });
  bad("each of 3 tokens, got 4",
      [](GgufHeader& h) { h.set_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{1, 1, 1, 1}); });
  bad("expected an array of f32, got u8", [](GgufHeader& h) {
    uint8_t scores[] = {1, 2, 0};
    h.set_array("tokenizer.ggml.scores", {0, 3, std::as_bytes(std::span(scores))});
  });
  bad("a token id", [](GgufHeader& h) { h.set_u32("tokenizer.ggml.eos_token_id", 0x90000000); });
  bad("true or false", [](GgufHeader& h) { h.set_u32("tokenizer.ggml.add_bos_token", 1); });
  bad("of bytes",
      [](GgufHeader& h) { h.set_i32s("tokenizer.ggml.precompiled_charsmap", std::vector<int32_t>{1}); });
}

// ---- npy and atomic files ----

TEST(Npy, RoundTripAndBadFiles) {
  TempFolder dir;
  std::vector<float> values(21);
  std::iota(values.begin(), values.end(), -3.5f);
  NpyWriter w(dir / "a.npy", 7);
  w.write_rows(std::span(values).first(14));
  w.write_rows(std::span(values).last(7));
  w.finish();
  NpyReader r(dir / "a.npy");
  EXPECT_EQ(r.num_rows(), 3);
  EXPECT_EQ(r.num_cols(), 7);
  EXPECT_THAT(r.row(2), ::testing::ElementsAreArray(std::span(values).last(7)));
  std::string good = dir.read("a.npy");
  for (size_t cut : {0ul, 5ul, 11ul, 100ul, 127ul, good.size() - 1}) {
    dir.write("b.npy", good.substr(0, cut));
    EXPECT_ERROR(NpyReader(dir / "b.npy"), ErrorCode::kCorrupt, cut < 12 ? "NumPy" : "complete|cut off");
  }
  auto changed = [&](const char* from, const char* to) {
    std::string s = good;
    s.replace(s.find(from), std::strlen(from), to);
    dir.write("b.npy", s);
  };
  changed("<f4", "<f8");
  EXPECT_ERROR(NpyReader(dir / "b.npy"), ErrorCode::kUnsupported, "f32");
  changed("False", "True ");
  EXPECT_ERROR(NpyReader(dir / "b.npy"), ErrorCode::kUnsupported, "C order");
  changed("(3, 7)", "(3,8 )");
  EXPECT_ERROR(NpyReader(dir / "b.npy"), ErrorCode::kCorrupt, "3 x 8");
  changed("(3, 7), }", "(9999999999999999999, 7)");
  EXPECT_ERROR(NpyReader(dir / "b.npy"), ErrorCode::kUnsupported, "dimensions");
}

TEST(AtomicFile, NothingAppearsWithoutCommit) {
  TempFolder dir;
  {
    AtomicFile f(dir / "a");
    f.write("hello");
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  AtomicFile f(dir / "a");
  f.write("hello");
  f.commit();
  EXPECT_EQ(dir.read("a"), "hello");
}

TEST(AtomicFile, RefusesInputsFoldersAndMissingPlaces) {
  TempFolder dir;
  dir.write("in", "x");
  std::filesystem::create_symlink(dir / "in", dir / "soft");
  std::filesystem::create_hard_link(dir / "in", dir / "hard");
  std::vector<std::string> inputs{dir / "in"};
  for (const char* name : {"in", "soft", "hard"})
    EXPECT_ERROR(AtomicFile(dir / name, inputs), ErrorCode::kInvalidArgument, "input itself");
  EXPECT_ERROR(AtomicFile(dir.path()), ErrorCode::kInvalidArgument, "folder");
  EXPECT_ERROR(AtomicFile("/dev/null"), ErrorCode::kInvalidArgument, "device");
  EXPECT_ERROR(AtomicFile(dir / "no/such/place"), ErrorCode::kNotFound, "cannot create");
  EXPECT_EQ(dir.read("in"), "x");
}

// A file-size limit behaves as a full disk does: write() stops at the limit, then fails.
TEST(AtomicFile, AFullDiskLeavesNothing) {
  TempFolder dir;
  dir.write("a", "old");
  auto previous = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  rlimit limit = old;
  limit.rlim_cur = 3 << 20;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  auto fill = [&] {
    AtomicFile f(dir / "a");
    std::string chunk(700'000, 'x');
    for (int i = 0; i < 10; ++i) f.write(chunk);
    f.commit();
  };
  EXPECT_ERROR(fill(), ErrorCode::kResourceExhausted, "cannot write");
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, previous);
  EXPECT_EQ(dir.read("a"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

}  // namespace
}  // namespace turgo
