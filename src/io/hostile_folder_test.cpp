// Paths, folders and safetensors files that lie: every row says which error must come.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>

#include "core/cpu_time_test_util.h"
#include "core/error.h"
#include "core/json.h"
#include "io/model_file.h"
#include "io/raw_gguf_test_util.h"
#include "io/safetensors_parse.h"
#include "io/temp_folder_test_util.h"

namespace fs = std::filesystem;

namespace turgo {
namespace {

constexpr std::nullopt_t kAccepted = std::nullopt;

std::string safetensors(const std::string& header, size_t data_bytes) {
  return RawGguf::le<uint64_t>(header.size()) + header + std::string(data_bytes, '\0');
}

// {"x": {"dtype": …, "shape": …, "data_offsets": …}}
std::string one(const char* dtype, const char* shape, const char* offsets) {
  return fmt::format(R"({{"x":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape, offsets);
}

SafetensorsContents parse(const std::string& bytes) {
  auto view = std::as_bytes(std::span(bytes));
  std::vector<std::byte> copy(view.begin(), view.end());
  return parse_safetensors(copy, "'hostile.safetensors'");
}

const std::string kGood = one(R"("F32")", "[2,2]", "[0,16]");

struct Row {
  const char* id;
  std::string bytes;
  std::optional<ErrorCode> code;
  const char* words;
};

std::vector<Row> safetensors_rows() {
  const auto corrupt = ErrorCode::kCorrupt;
  auto two = [](const char* a, const char* b) {
    return fmt::format(
        R"({{"a":{{"dtype":"U8","shape":[4],"data_offsets":{}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{}}}}})",
        a, b);
  };
  std::string deep(100'000, '[');
  return {
      {"good", safetensors(kGood, 16), kAccepted, ""},
      {"spaces behind the header", safetensors(kGood + "    ", 16), kAccepted, ""},
      {"M01 empty", "", corrupt, "empty"},
      {"M02 four bytes", "\1\2\3\4", corrupt, "8 bytes"},
      {"M54 header 0", safetensors("", 16), corrupt, "JSON object"},
      {"M54 header 2^63", RawGguf::le(uint64_t{1} << 63) + "{}", corrupt, "at most 100000000"},
      {"M54 header > file", RawGguf::le(uint64_t{1000}) + "{}", corrupt, "cut off"},
      {"M54 100 MB + 1", RawGguf::le(uint64_t{100'000'001}) + "{}", corrupt, "at most 100000000"},
      {"no object", safetensors("[]", 0), corrupt, "JSON object"},
      {"space in front", safetensors(" {}", 0), corrupt, "JSON object"},
      {"half JSON", safetensors(kGood.substr(0, 30), 16), corrupt, "not valid JSON"},
      {"text behind the JSON", safetensors(kGood + "x", 16), corrupt, "not valid JSON"},
      {"not UTF-8", safetensors("{\"\xff\":1}", 0), corrupt, "not valid JSON"},
      {"M55 depth 10^5", safetensors("{\"x\":" + deep, 0), corrupt, "an array"},
      {"M55 depth in shape", safetensors(one(R"("F32")", deep.c_str(), "[0,4]"), 4), corrupt, "an array"},
      {"M57 begin > end", safetensors(one(R"("F32")", "[4]", "[16,0]"), 16), corrupt, "begins at 16"},
      {"M57 out of bounds", safetensors(kGood, 15), corrupt, "beyond the file"},
      {"M57 offset 2^64-1",
       safetensors(one(R"("F32")", "[4]", "[18446744073709551599,18446744073709551615]"), 16), corrupt,
       "beyond the file"},
      {"M57 offset 2^65", safetensors(one(R"("F32")", "[4]", "[0,36893488147419103232]"), 16), corrupt,
       "the number"},
      {"M57 offset negative", safetensors(one(R"("F32")", "[4]", "[-16,0]"), 16), corrupt, "-16"},
      {"M57 one offset", safetensors(one(R"("F32")", "[4]", "[0]"), 16), corrupt, "lacks"},
      {"M57 three offsets", safetensors(one(R"("F32")", "[4]", "[0,16,16]"), 16), corrupt, "more than two"},
      {"M57 overlap", safetensors(two("[0,4]", "[2,6]"), 6), corrupt, "overlaps"},
      {"M57 the same place", safetensors(two("[0,4]", "[0,4]"), 4), corrupt, "overlaps"},
      {"M57 hole", safetensors(two("[0,4]", "[8,12]"), 12), corrupt, "hole"},
      {"M57 hole in front", safetensors(one(R"("F32")", "[4]", "[4,20]"), 20), corrupt, "hole"},
      {"M57 bytes behind", safetensors(kGood, 17), corrupt, "expected 16 bytes of data"},
      {"any order", safetensors(two("[4,8]", "[0,4]"), 8), kAccepted, ""},
      {"M58 shape x dtype", safetensors(one(R"("F32")", "[5]", "[0,16]"), 16), corrupt, "expected 20"},
      {"M58 product wraps", safetensors(one(R"("F32")", "[4294967296,4294967296,4]", "[0,16]"), 16), corrupt,
       "overflows"},
      {"M58 bytes wrap", safetensors(one(R"("F32")", "[4611686018427387908]", "[0,16]"), 16), corrupt,
       "overflows"},
      {"M58 0 x 2^64-1", safetensors(one(R"("F32")", "[0,18446744073709551615]", "[0,0]"), 0), corrupt,
       "overflows"},
      {"M58 dtype F7", safetensors(one(R"("F7")", "[4]", "[0,16]"), 16), corrupt, "unknown dtype 'F7'"},
      {"M58 dtype F8", safetensors(one(R"("F8_E5M2")", "[16]", "[0,16]"), 16), ErrorCode::kUnsupported,
       "tensor 'x': dtype F8_E5M2"},
      {"dtype number", safetensors(one("7", "[4]", "[0,16]"), 16), corrupt, "'dtype'"},
      {"dtype twice",
       safetensors(R"({"x":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}})", 16), corrupt,
       "two dtypes"},
      {"shape twice",
       safetensors(R"({"x":{"dtype":"F32","shape":[4],"shape":[4],"data_offsets":[0,16]}})", 16), corrupt,
       "'shape'"},
      {"shape negative", safetensors(one(R"("F32")", "[-4]", "[0,16]"), 16), corrupt, "-4"},
      {"shape float", safetensors(one(R"("F32")", "[4.0]", "[0,16]"), 16), corrupt, "4.0"},
      {"shape null", safetensors(one(R"("F32")", "null", "[0,16]"), 16), corrupt, "null"},
      {"no dtype", safetensors(R"({"x":{"shape":[4],"data_offsets":[0,16]}})", 16), corrupt, "lacks"},
      {"extra field",
       safetensors(R"({"x":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"evil":"y"}})", 16), corrupt,
       "'evil'"},
      {"tensor no object", safetensors(R"({"x":3})", 0), corrupt, "the number 3"},
      {"rank 6 is merged", safetensors(one(R"("U8")", "[1,2,1,2,2,2]", "[0,16]"), 16), kAccepted, ""},
      {"rank 17", safetensors(one(R"("U8")", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,1]"), 1), corrupt,
       "16 dim"},
      {"empty tensor", safetensors(one(R"("F32")", "[0,3]", "[0,0]"), 0), kAccepted, ""},
      {"M59 name twice",
       safetensors(
           R"({"x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
           2),
       corrupt, "twice"},
      {"M59 metadata number", safetensors(R"({"__metadata__":{"a":1}})", 0), corrupt, "a string"},
      {"M59 metadata object", safetensors(R"({"__metadata__":{"a":{}}})", 0), corrupt, "a string"},
      {"M59 metadata string", safetensors(R"({"__metadata__":"a"})", 0), corrupt, "the string"},
      {"M59 metadata twice", safetensors(R"({"__metadata__":{"a":"1","a":"2"}})", 0), corrupt, "twice"},
  };
}

TEST(HostileSafetensors, EveryRowGivesItsError) {
  for (const Row& row : safetensors_rows()) {
    SCOPED_TRACE(row.id);
    if (row.code)
      EXPECT_ERROR(parse(row.bytes), *row.code, row.words);
    else
      EXPECT_NO_THROW(parse(row.bytes));
  }
}

TEST(HostileSafetensors, RankAboveFourKeepsTheElements) {
  auto contents = parse(safetensors(one(R"("U8")", "[1,2,1,2,2,2]", "[0,16]"), 16));
  EXPECT_EQ(contents.tensors.at(0).shape, (Shape{1, 2, 1, 8}));
}

// M56, and M06 for this format: 100,000 entries in linear time; a cut after every byte of the first 4 KiB.
TEST(HostileSafetensors, ManyEntriesAndTruncation) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i)
    header += fmt::format(R"({}"tensor.{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                          i ? "," : "", i, i, i + 1);
  std::string bytes = safetensors(header + "}", 100'000);
  double begin = cpu_seconds();
  EXPECT_EQ(parse(bytes).tensors.size(), 100'000u);
  EXPECT_LT(cpu_seconds() - begin, 20);

  header.resize(header.find(R"(,"tensor.60")"));
  std::string whole = safetensors(header + "}", 61);
  ASSERT_GT(whole.size(), 3600u);
  EXPECT_ERROR(parse(whole), ErrorCode::kCorrupt, "60 bytes of data");
  whole.pop_back();
  EXPECT_NO_THROW(parse(whole));
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_ERROR(parse(whole.substr(0, n)), ErrorCode::kCorrupt,
                 "cut off|empty|beyond the file|bytes of data");
}

// ---- folders and paths: each row prepares a folder; open_model(folder / target) must fail ----

struct FolderRow {
  const char* id;
  std::function<void(const TempFolder&)> prepare;
  const char* target;  // "" is the folder itself
  ErrorCode code;
  const char* words;
};

std::function<void(const TempFolder&)> index_with(const std::string& file) {
  return [file](const TempFolder& d) {
    d.write("config.json", "{}");
    d.write("model.safetensors.index.json", Json{{"weight_map", {{"x", file}}}}.dump());
  };
}

std::function<void(const TempFolder&)> index_text(const std::string& text) {
  return [text](const TempFolder& d) {
    d.write("config.json", "{}");
    d.write("model.safetensors.index.json", text);
  };
}

// A single-file model with this config.json.
std::function<void(const TempFolder&)> config_text(const std::string& text) {
  return [text](const TempFolder& d) {
    d.write("config.json", text);
    d.write("model.safetensors", safetensors(kGood, 16));
  };
}

std::string object_of(int num_keys) {
  std::string s = "{";
  for (int i = 0; i < num_keys; ++i) s += fmt::format("\"k{}\":0,", i);
  return s + "\"z\":0}";
}

// As many objects of 4,096 keys as the size limit lets through: the worst case for ordered_json, and still an
// error in time (the list is no config).
std::string many_objects() {
  std::string s = "[", object = object_of(4'095);
  while (s.size() + object.size() + 2 < (size_t{2} << 20)) s += object + ",";
  return s + "0]";
}

void nothing(const TempFolder&) {}

std::vector<FolderRow> folder_rows() {
  const auto missing = ErrorCode::kNotFound, corrupt = ErrorCode::kCorrupt, io = ErrorCode::kIo;
  const auto unsupported = ErrorCode::kUnsupported, invalid = ErrorCode::kInvalidArgument;
  auto shard = [](auto make) {
    return [make](const TempFolder& d) {
      index_with("s.safetensors")(d);
      make(d / "s.safetensors");
    };
  };
  return {
      {"missing path", nothing, "no.gguf", missing, "no such file or folder"},
      {"empty folder", nothing, "", missing, "found neither"},
      {"a path inside a file", [](auto& d) { d.write("f", "x"); }, "f/m.gguf", missing,
       "no such file|Not a directory"},
      {"empty GGUF", [](auto& d) { d.write("m.gguf", ""); }, "m.gguf", corrupt, "empty"},
      {"empty GGUF in a folder", [](auto& d) { d.write("m.gguf", ""); }, "", corrupt, "empty"},
      {"text as GGUF", [](auto& d) { d.write("m.gguf", "hello world"); }, "m.gguf", corrupt, "magic"},
      {"M11 no tensors", [](auto& d) { d.write("m.gguf", RawGguf().u32("k", 1).bytes()); }, "m.gguf", corrupt,
       "without tensors"},
      {"two GGUF files", [](auto& d) { d.write("a.gguf", ""), d.write("b.gguf", ""); }, "", invalid,
       "2 GGUF models"},
      {"FIFO", [](auto& d) { ::mkfifo((d / "m.gguf").c_str(), 0600); }, "m.gguf", invalid, "regular file"},
      {"FIFO in a folder", [](auto& d) { ::mkfifo((d / "m.gguf").c_str(), 0600); }, "", invalid,
       "regular file"},
      {"device", [](auto& d) { fs::create_symlink("/dev/zero", d / "m.gguf"); }, "m.gguf", invalid,
       "regular file"},
      {"link loop", [](auto& d) { fs::create_symlink(d / "m.gguf", d / "m.gguf"); }, "m.gguf", io,
       "symbolic links"},
      {"dangling link", [](auto& d) { fs::create_symlink(d / "gone", d / "m.gguf"); }, "m.gguf", missing,
       "no such file"},
      {"a safetensors file", config_text("{}"), "model.safetensors", invalid,
       "the folder that holds config.json"},
      {"M62 pickle", [](auto& d) { d.write("pytorch_model.bin", "x"); }, "", unsupported, "pickle is code"},
      {"M62 pickle file", [](auto& d) { d.write("m.pt", "x"); }, "m.pt", unsupported, "pickle is code"},
      {"config only", [](auto& d) { d.write("config.json", "{}"); }, "", missing, "download complete"},
      {"no config", [](auto& d) { d.write("model.safetensors", safetensors(kGood, 16)); }, "", missing,
       "config.json"},
      {"no tensors",
       [](auto& d) { config_text("{}")(d), d.write("model.safetensors", safetensors("{}", 0)); }, "", corrupt,
       "without tensors"},
      {"M61 NaN", config_text(R"({"rope_theta": NaN})"), "", corrupt, "not valid JSON"},
      {"config is a list", config_text("[]"), "", corrupt, "JSON object"},
      {"config empty", config_text(""), "", corrupt, "not valid JSON"},
      {"config depth 10^5", config_text("{\"a\":" + std::string(100'000, '[')), "", corrupt,
       "deeper than 64"},
      {"config of 20,001 keys", config_text(object_of(20'000)), "", corrupt, "at most 4096 keys"},
      {"config of many large objects", config_text(many_objects()), "", corrupt, "JSON object"},
      {"config of 3 MB", config_text("{\"a\":\"" + std::string(3'000'000, 'x') + "\"}"), "", corrupt,
       "at most 2097152"},
      {"config is a folder",
       [](auto& d) {
         config_text("{}")(d), fs::remove(d / "config.json"), fs::create_directory(d / "config.json");
       },
       "", invalid, "regular file"},
      {"dangling model.safetensors",
       [](auto& d) { d.write("config.json", "{}"), fs::create_symlink(d / "gone", d / "model.safetensors"); },
       "", missing, "model.safetensors"},
      {"M60 ../../x", index_with("../../x.safetensors"), "", corrupt, "in the same folder"},
      {"M60 ..", index_with(".."), "", corrupt, "in the same folder"},
      {"M60 absolute", index_with("/etc/passwd"), "", corrupt, "in the same folder"},
      {"M60 absolute .safetensors", index_with("/tmp/x.safetensors"), "", corrupt, "in the same folder"},
      {"M60 NUL", index_with(std::string("a\0.safetensors", 14)), "", corrupt, "in the same folder"},
      {"M60 pickle shard", index_with("pytorch_model.bin"), "", corrupt, "in the same folder"},
      {"M60 missing shard", index_with("s.safetensors"), "", missing, "s.safetensors"},
      {"M60 link loop", shard([](const std::string& p) { fs::create_symlink(p, p); }), "", io,
       "s.safetensors"},
      {"M60 FIFO", shard([](const std::string& p) { ::mkfifo(p.c_str(), 0600); }), "", invalid,
       "regular file"},
      {"M60 /dev/zero", shard([](const std::string& p) { fs::create_symlink("/dev/zero", p); }), "", invalid,
       "regular"},
      {"M60 folder", shard([](const std::string& p) { fs::create_directory(p); }), "", invalid, "a folder"},
      {"shard lacks its tensor",
       [](auto& d) { index_with("s.safetensors")(d), d.write("s.safetensors", safetensors("{}", 0)); }, "",
       corrupt, "the tensor 'x'"},
      {"index without map", index_text("{}"), "", corrupt, "weight_map"},
      {"index with an empty map", index_text(R"({"weight_map":{}})"), "", corrupt, "weight_map"},
      {"index with a list", index_text(R"({"weight_map":["a"]})"), "", corrupt, "weight_map"},
      {"index with a number", index_text(R"({"weight_map":{"a":1}})"), "", corrupt, "a file name for 'a'"},
      {"index no JSON", index_text("x"), "", corrupt, "not valid JSON"},
      {"index depth 10^5", index_text(std::string(100'000, '{')), "", corrupt, "deeper than 64"},
      {"a shard without the others",
       [](auto& d) { d.write("m-00001-of-00002.gguf", RawGguf().u32("split.count", 2).tensor({}).bytes()); },
       "", missing, "shard 2 of 2"},
      {"a renamed shard",
       [](auto& d) { d.write("m.gguf", RawGguf().u32("split.count", 2).tensor({}).bytes()); }, "m.gguf",
       missing, "one of 2 shards"},
      {"a lying split.count",
       [](auto& d) { d.write("m-00001-of-00002.gguf", RawGguf().u32("split.count", 3).tensor({}).bytes()); },
       "", corrupt, "split.count 2"},
  };
}

TEST(HostileFolder, EveryRowGivesItsError) {
  const double seconds = std::getenv("TURGO_SANITIZED") ? 20 : 5;  // sanitizers take four times as long
  for (const FolderRow& row : folder_rows()) {
    SCOPED_TRACE(row.id);
    TempFolder dir;
    row.prepare(dir);
    std::string path = *row.target ? dir / row.target : dir.path();
    double begin = cpu_seconds();
    EXPECT_ERROR(open_model(path), row.code, row.words);
    EXPECT_LT(cpu_seconds() - begin, seconds);
  }
  EXPECT_ERROR(open_model(""), ErrorCode::kInvalidArgument, "path of a model");
  EXPECT_ERROR(open_model(std::string("a\0b", 3)), ErrorCode::kInvalidArgument, "path of a model");
  EXPECT_ERROR(open_model(std::string(5000, 'x')), ErrorCode::kIo, "name too long|too long");
}

// M62: auto_map names code; it is ignored, and the model loads.
TEST(HostileFolder, AutoMapIsIgnored) {
  TempFolder dir;
  config_text(R"({"auto_map":{"AutoModel":"/etc/passwd--../../evil.py"}})")(dir);
  EXPECT_EQ(open_model(dir.path())->tensors().size(), 1u);
}

}  // namespace
}  // namespace turgo
