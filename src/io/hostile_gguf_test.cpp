// GGUF files that lie: every row builds one and says which error must come. Ids are the project's list of
// hostile files (docs: tests, "M" rows). All go through parse_gguf on a heap copy of the exact size, so that
// the sanitizer build sees a read past the end. Rows that a reader may accept have kAccepted.
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "core/cpu_time_test_util.h"
#include "core/error.h"
#include "core/json.h"
#include "io/gguf_parse.h"
#include "io/gguf_writer.h"
#include "io/raw_gguf_test_util.h"
#include "io/temp_folder_test_util.h"

namespace turgo {
namespace {

using Raw = RawGguf;
constexpr std::nullopt_t kAccepted = std::nullopt;
constexpr uint64_t kMax64 = UINT64_MAX;

GgufContents parse(const std::string& bytes) {
  auto view = std::as_bytes(std::span(bytes));
  std::vector<std::byte> copy(view.begin(), view.end());
  return parse_gguf(copy, "'hostile.gguf'");
}

struct Row {
  const char* id;
  std::string bytes;
  std::optional<ErrorCode> code;
  const char* words;
};

Raw base() {
  return Raw().u32("general.x", 1);
}
Raw with_tensor() {
  return base().tensor({});
}

std::string tensor_bytes(const Raw::Tensor& t, uint64_t data_bytes = 64) {
  Raw r = base().tensor(t);
  r.data_bytes = data_bytes;
  return r.bytes();
}

template <class Change>
std::string changed(Raw raw, Change change) {
  change(raw);
  return raw.bytes();
}

std::string array(uint32_t type, uint64_t count, const std::string& bytes = "") {
  return Raw::le(type) + Raw::le(count) + bytes;
}

std::vector<Row> header_rows() {
  const auto corrupt = ErrorCode::kCorrupt;
  const auto unsupported = ErrorCode::kUnsupported;
  return {
      {"good", with_tensor().bytes(), kAccepted, ""},
      {"M01 empty", "", corrupt, "empty"},
      {"M02 four bytes", "GGUF", corrupt, "cut off"},
      {"M03 magic", changed(with_tensor(), [](Raw& r) { r.magic = "GGML"; }), corrupt, "magic"},
      {"M03 old GGJT", "tjgg" + std::string(60, '\1'), corrupt, "magic"},
      {"M04 big endian", changed(with_tensor(), [](Raw& r) { r.version = 0x03000000; }), unsupported,
       "big-endian"},
      {"M05 version 0", changed(with_tensor(), [](Raw& r) { r.version = 0; }), unsupported,
       "version 2 or 3, got 0"},
      {"M05 version 1", changed(with_tensor(), [](Raw& r) { r.version = 1; }), unsupported, "got 1"},
      {"M05 version 99", changed(with_tensor(), [](Raw& r) { r.version = 99; }), unsupported, "got 99"},
      {"version 2", changed(with_tensor(), [](Raw& r) { r.version = 2; }), kAccepted, ""},
      {"M07 n_kv 2^64-1", changed(with_tensor(), [](Raw& r) { r.num_kv = kMax64; }), corrupt,
       "metadata keys"},
      {"M08 n_kv 2^32-1", changed(with_tensor(), [](Raw& r) { r.num_kv = UINT32_MAX; }), corrupt,
       "metadata keys"},
      {"n_kv one more", changed(with_tensor(), [](Raw& r) { r.num_kv = 2; }), corrupt, ""},
      {"n_kv one less", changed(with_tensor(), [](Raw& r) { r.num_kv = 0; }), corrupt, ""},
      {"M09 n_tensors -1", changed(with_tensor(), [](Raw& r) { r.num_tensors = kMax64; }), corrupt,
       "tensors do not fit"},
      {"M10 n_tensors wraps", changed(with_tensor(), [](Raw& r) { r.num_tensors = kMax64 / 33 + 2; }),
       corrupt, "tensors do not fit"},
      {"n_tensors 2^62", changed(with_tensor(), [](Raw& r) { r.num_tensors = uint64_t{1} << 62; }), corrupt,
       "tensors do not fit"},
      {"M11 no tensors", base().bytes(), kAccepted, ""},  // a vocabulary; open_model refuses it
      {"M12 empty key", Raw().kv("", 4, Raw::le(1)).bytes(), corrupt, "metadata key"},
      {"M13 key length 2^63", Raw().raw_kv(Raw::le(uint64_t{1} << 63) + "x").bytes(), corrupt,
       "at most 65535"},
      {"key of 70 kB", Raw().u32(std::string(70'000, 'k'), 1).bytes(), corrupt, "at most 65535"},
      {"M14 key twice", base().u32("general.x", 2).bytes(), corrupt, "twice"},
      {"M15 key not UTF-8", Raw().u32("general.\xff\xfe", 1).bytes(), corrupt, "UTF-8"},
      {"key with NUL", Raw().u32(std::string_view("a\0b", 3), 1).bytes(), corrupt, "UTF-8"},
      {"M16 type 13", base().kv("k", 13, Raw::le(0)).bytes(), corrupt, "type of 0…12, got 13"},
      {"M16 type -1", base().kv("k", UINT32_MAX, Raw::le(0)).bytes(), corrupt, "4294967295"},
      {"M17 string of 2^40", base().kv("k", 8, Raw::le(uint64_t{1} << 40)).bytes(), corrupt,
       "string of at most"},
      {"string of 2^64-1", base().kv("k", 8, Raw::le(kMax64)).bytes(), corrupt, "string of at most"},
      {"string past the end", base().kv("k", 8, Raw::le(uint64_t{5000})).bytes(), corrupt, "cut off"},
      {"string not UTF-8", base().kv("k", 8, Raw::str("a\xff")).bytes(), kAccepted, ""},
      {"M18 array of arrays", base().kv("k", 9, array(9, 1, array(4, 0))).bytes(), ErrorCode::kUnsupported,
       "array of arrays"},
      {"M19 2^60 of unknown", base().kv("k", 9, array(77, uint64_t{1} << 60)).bytes(), corrupt,
       "array type of 0…12"},
      {"2^60 bytes", base().kv("k", 9, array(0, uint64_t{1} << 60)).bytes(), corrupt, "does not fit"},
      {"2^61 u64 wraps", base().kv("k", 9, array(10, uint64_t{1} << 61)).bytes(), corrupt, "does not fit"},
      {"2^60 strings", base().kv("k", 9, array(8, uint64_t{1} << 60)).bytes(), corrupt, "does not fit"},
      {"array string of 2^40", base().kv("k", 9, array(8, 1, Raw::le(uint64_t{1} << 40))).bytes(), corrupt,
       "array string of at most"},
      {"M20 bool 7", base().kv("k", 7, "\7").bytes(), corrupt, "0 or 1, got 7"},
      {"bool 2 in an array", base().kv("k", 9, array(7, 3, std::string("\0\1\2", 3))).bytes(), corrupt,
       "0 or 1, got 2"},
      {"empty array", base().kv("k", 9, array(8, 0)).tensor({}).bytes(), kAccepted, ""},
      {"M24 alignment 0", with_tensor().u32("general.alignment", 0).bytes(), corrupt, "power of two"},
      {"M25 alignment 3", with_tensor().u32("general.alignment", 3).bytes(), corrupt, "power of two"},
      {"M26 alignment 2^31", with_tensor().u32("general.alignment", 1u << 31).bytes(), corrupt,
       "at most 1048576"},
      {"M27 alignment as i32", with_tensor().kv("general.alignment", 5, Raw::le(32)).bytes(), corrupt,
       "u32, got i32"},
      {"alignment 1", changed(with_tensor().u32("general.alignment", 1), [](Raw& r) { r.pad_to = 1; }),
       kAccepted, ""},
  };
}

std::vector<Row> tensor_rows() {
  const auto corrupt = ErrorCode::kCorrupt;
  const auto unsupported = ErrorCode::kUnsupported;
  const uint64_t big = uint64_t{1} << 63;
  return {
      {"M28 rank 0", tensor_bytes({.num_dims = 0, .ne = {}}), corrupt, "1 to 4 dimensions, got 0"},
      {"M28 rank 5", tensor_bytes({.num_dims = 5, .ne = {1, 1, 1, 1, 1}}), corrupt, "got 5"},
      {"M28 rank 2^32-1", tensor_bytes({.num_dims = UINT32_MAX}), corrupt, "got 4294967295"},
      {"rank 4", tensor_bytes({.num_dims = 4, .ne = {2, 2, 2, 2}}), kAccepted, ""},
      {"M29 ne 0", tensor_bytes({.ne = {0}}), corrupt, "got 0"},
      {"M29 ne 0 inside", tensor_bytes({.num_dims = 2, .ne = {16, 0}}), corrupt, "got 0 at 1"},
      {"M30 ne negative", tensor_bytes({.ne = {kMax64}}), corrupt, "sane product"},
      {"M31 product wraps to 0", tensor_bytes({.num_dims = 2, .ne = {big, 2}}), corrupt, "sane product"},
      {"M31 product wraps to 16", tensor_bytes({.num_dims = 3, .ne = {16, (uint64_t{1} << 62) + 1, 4}}),
       corrupt, "sane product"},
      {"M32 bytes wrap", tensor_bytes({.ne = {(uint64_t{1} << 62) + 16}}), corrupt, "sane product"},
      {"2^48 elements", tensor_bytes({.ne = {uint64_t{1} << 48}}), corrupt, "beyond the file"},
      {"M33 padding wraps", tensor_bytes({.offset = kMax64 - 31}), corrupt, "beyond the file"},
      {"M34 half a block", tensor_bytes({.ne = {48}, .type = 2}), corrupt, "multiple of 32"},
      {"M34 half a K block", tensor_bytes({.ne = {128}, .type = 12}), corrupt, "multiple of 256"},
      {"M35 type -1", tensor_bytes({.type = UINT32_MAX}), corrupt, "type 4294967295"},
      {"M35 removed Q4_2", tensor_bytes({.type = 4}), unsupported, "tensor 'x': ggml type 4"},
      {"M35 IQ2_XXS", tensor_bytes({.type = 16}), unsupported, "type 16"},
      {"M35 999", tensor_bytes({.type = 999}), corrupt, "type 999"},
      {"M36 name of 64", tensor_bytes({.name = std::string(64, 'n')}), corrupt, "at most 63"},
      {"name of 63", tensor_bytes({.name = std::string(63, 'n')}), kAccepted, ""},
      {"M36 name with NUL", tensor_bytes({.name = std::string("a\0b", 3)}), corrupt, "without NUL"},
      {"M36 empty name", tensor_bytes({.name = ""}), corrupt, "without NUL"},
      {"M37 name twice", with_tensor().tensor({.offset = 64}).bytes(), corrupt, "twice"},
      {"M38 misaligned", tensor_bytes({.offset = 16}, 128), corrupt, "multiple of 32, got 16"},
      {"M39 offset past the end", tensor_bytes({.offset = uint64_t{1} << 40}), corrupt, "beyond the file"},
      {"M40 overlap",
       changed(with_tensor().tensor({.name = "y", .offset = 32}), [](Raw& r) { r.data_bytes = 128; }),
       corrupt, "overlaps"},
      {"M40 the same place", with_tensor().tensor({.name = "y", .offset = 0}).bytes(), corrupt, "overlaps"},
      {"M41 hole",
       changed(with_tensor().tensor({.name = "y", .offset = 96}), [](Raw& r) { r.data_bytes = 200; }),
       corrupt, "leaves a hole"},
      {"M41 hole in front", tensor_bytes({.offset = 32}, 128), corrupt, "leaves a hole"},
      {"M42 sum wraps",
       base().tensor({.ne = {uint64_t{1} << 47}}).tensor({.name = "y", .offset = 64}).bytes(), corrupt,
       "beyond the file"},
      {"M43 one byte short", tensor_bytes({}, 63), corrupt, "beyond the file"},
      {"any order",
       changed(base().tensor({.offset = 64}).tensor({.name = "y"}), [](Raw& r) { r.data_bytes = 128; }),
       kAccepted, ""},
      {"bytes behind the data", tensor_bytes({}, 1000), kAccepted, ""},
      {"no data at all", tensor_bytes({}, 0), corrupt, "beyond the file"},
  };
}

TEST(HostileGguf, EveryRowGivesItsError) {
  for (const auto& rows : {header_rows(), tensor_rows()}) {
    for (const Row& row : rows) {
      SCOPED_TRACE(row.id);
      double begin = cpu_seconds();
      if (row.code)
        EXPECT_ERROR(parse(row.bytes), *row.code, row.words);
      else
        EXPECT_NO_THROW(parse(row.bytes));
      EXPECT_LT(cpu_seconds() - begin, 5);
    }
  }
}

// Long hostile text ends in the message cut and without control bytes.
TEST(HostileGguf, MessagesStayOneShortLine) {
  std::string evil = "\x1b[2J\r\n" + std::string(60'000, 'A');
  EXPECT_ERROR(parse(base().kv(evil, 99, "").bytes()), ErrorCode::kCorrupt, "?[2J??AAA");
}

// A valid file of more than 4 KiB, and M06: cut after every byte of the first 4 KiB and of the last 100.
std::string valid_file() {
  GgufHeader h;
  h.set_string("general.architecture", "llama");
  std::vector<std::string> tokens;
  for (int i = 0; i < 150; ++i) tokens.push_back(fmt::format("token{}", i));
  h.set_strings("tokenizer.ggml.tokens", std::vector<std::string_view>(tokens.begin(), tokens.end()));
  h.set_f32s("tokenizer.ggml.scores", std::vector<float>(150, -1.0f));
  h.set_bool("flag", true);
  for (int i = 0; i < 20; ++i) h.add_tensor(fmt::format("blk.{}.attn_q.weight", i), DType::kQ4_0, {2, 32});
  return h.bytes() + std::string(h.data_bytes(), '\0');
}

TEST(HostileGguf, M06TruncatedAnywhere) {
  std::string whole = valid_file();
  ASSERT_GT(whole.size(), 4096u);
  EXPECT_NO_THROW(parse(whole));
  for (size_t n = 0; n < whole.size(); n += n < 4096 || n + 100 > whole.size() ? 1 : 61) {
    // The padding behind the last tensor (28 bytes) carries nothing; without it the file is still whole.
    if (n >= whole.size() - 28) break;
    SCOPED_TRACE(n);
    EXPECT_ERROR(parse(whole.substr(0, n)), ErrorCode::kCorrupt, "cut off|empty|beyond the file|do not fit");
  }
}

// Every byte of the header set to a few other values: an error or a file, never anything else.
TEST(HostileGguf, EveryByteChanged) {
  const std::string whole = valid_file();
  int errors = 0;
  for (size_t i = 0; i < std::min<size_t>(whole.size(), 5000); ++i)
    for (unsigned char v : {0x00, 0x7f, 0xff}) {
      std::string bytes = whole;
      bytes[i] = static_cast<char>(v);
      try {
        parse(bytes);
      } catch (const Error& e) {
        ++errors;
        EXPECT_TRUE(e.code() == ErrorCode::kCorrupt || e.code() == ErrorCode::kUnsupported) << e.what();
      }
    }
  EXPECT_GT(errors, 1000);
}

// 65,536 keys and 100,000 tensors are within the limits and must take linear time.
TEST(HostileGguf, ManyEntriesAreLinear) {
  Raw r;
  for (int i = 0; i < 65'536; ++i) r.u32(fmt::format("k{}", i), 1);
  for (uint64_t i = 0; i < 100'000; ++i)
    r.tensor({.name = fmt::format("t{}", i), .ne = {8}, .offset = i * 32});
  r.data_bytes = 3'200'000;
  std::string bytes = r.bytes();
  double begin = cpu_seconds();
  EXPECT_EQ(parse(bytes).tensors.size(), 100'000u);
  EXPECT_LT(cpu_seconds() - begin, 20);
  r.u32("one.more", 1);
  EXPECT_ERROR(parse(r.bytes()), ErrorCode::kCorrupt, "limit 65536");
}

// One-byte elements would become 16 bytes each in the Json: beyond 2^20 of them arrays stay out of it, but
// readable.
TEST(HostileGguf, ManySmallArraysStayOutOfTheJson) {
  Raw r;
  for (int i = 0; i < 300; ++i) r.kv(fmt::format("a{}", i), 9, array(0, 4096, std::string(4096, '\1')));
  auto contents = parse(r.bytes());
  EXPECT_EQ(contents.arrays.size(), 300u);
  EXPECT_EQ(contents.metadata->size(), 256u);
}

}  // namespace
}  // namespace turgo
