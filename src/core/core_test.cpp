#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <thread>

#include "core/dtype.h"
#include "core/error.h"
#include "core/json.h"
#include "core/mapped_file.h"

namespace turgo {
namespace {

TEST(DType, F16RoundTripsEveryFiniteValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    f16 h{static_cast<uint16_t>(bits)};
    float f = to_f32(h);
    if (std::isnan(f)) continue;
    EXPECT_EQ(to_f16(f).bits, h.bits) << bits;
  }
}

TEST(DType, RoundsHalfToEven) {
  EXPECT_EQ(to_bf16(1.0f + 0x1p-8f).bits, to_bf16(1.0f).bits);                // tie, even stays
  EXPECT_EQ(to_bf16(1.0f + 3 * 0x1p-8f).bits, to_bf16(1.0f + 0x1p-6f).bits);  // tie, odd goes up
  EXPECT_EQ(to_f16(1.0f + 0x1p-11f).bits, to_f16(1.0f).bits);
  EXPECT_EQ(to_f32(to_f16(65520.0f)), INFINITY);
  EXPECT_TRUE(std::isnan(to_f32(to_bf16(NAN))));
}

// The format written out: sign, exponent of bias 7, three bits of mantissa.
float e4m3_by_definition(int code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if ((code & 0x7f) == 0x7f) return NAN;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9)
                                        : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return code & 0x80 ? -magnitude : magnitude;
}

TEST(DType, E4m3KnowsItsCodes) {
  for (int code = 0; code < 256; ++code) {
    const e4m3 x{static_cast<uint8_t>(code)};
    const float want = e4m3_by_definition(code);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(to_f32(x))) << code;
      EXPECT_TRUE(std::isnan(to_f32(to_e4m3(want)))) << code;
      continue;
    }
    EXPECT_EQ(std::bit_cast<uint32_t>(to_f32(x)), std::bit_cast<uint32_t>(want)) << code;
    EXPECT_EQ(to_e4m3(want).bits, code);
  }
}

// Between every two neighbours: the middle goes to the even code, all else to the nearer one.
TEST(DType, E4m3RoundsHalfToEvenAndSaturates) {
  for (int code = 0; code < 0x7e; ++code) {
    const float low = e4m3_by_definition(code), high = e4m3_by_definition(code + 1);
    const float middle = (low + high) / 2;
    for (int sign : {0, 0x80}) {
      auto rounded = [&](float x) { return to_e4m3(sign ? -x : x).bits; };
      EXPECT_EQ(rounded(middle), sign | (code % 2 ? code + 1 : code)) << code;
      EXPECT_EQ(rounded(std::nextafter(middle, 0.0f)), sign | code) << code;
      EXPECT_EQ(rounded(std::nextafter(middle, 1e9f)), sign | (code + 1)) << code;
    }
  }
  for (float x : {448.0f, 449.0f, 464.0f, 480.0f, 1e30f, INFINITY}) {
    EXPECT_EQ(to_e4m3(x).bits, 0x7e) << x;
    EXPECT_EQ(to_e4m3(-x).bits, 0xfe) << x;
  }
  for (float x : {1e-45f, 1e-38f, 0x1p-10f}) EXPECT_EQ(to_e4m3(-x).bits, 0x80) << x;
}

TEST(Quote, KeepsTextAndHidesControlBytes) {
  EXPECT_EQ(quote("a\x1b[31m\xff é"), "'a?[31m? é'");
  EXPECT_EQ(quote("ééé", 3), "'é…'");  // never cuts inside a character
}

TEST(Json, BoundsDepthAndNamesTheSource) {
  try {
    parse_json(std::string(100000, '['), "x.json");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kCorrupt);
    EXPECT_NE(std::string(e.what()).find("x.json"), std::string::npos);
  }
  EXPECT_EQ(parse_json("{\"a\": [1]}", "x")["a"][0], 1);
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  EXPECT_THROW(MappedFile::open("/nonexistent/file"), Error);
  EXPECT_THROW(MappedFile::open("/dev/zero"), Error);
  EXPECT_THROW(MappedFile::open("/tmp"), Error);
}

std::string file_of_bytes(const char* name, size_t size) {
  std::string path = testing::TempDir() + fmt::format("turgo_{}_{}", name, getpid());
  std::ofstream(path, std::ios::binary) << std::string(size, 'x');
  return path;
}

TEST(MappedFile, WhatAFileLosesReadsAsZeros) {
  std::string path = file_of_bytes("shrinks", 100'000), whole = file_of_bytes("stays", 50'000);
  auto file = MappedFile::open(path), other = MappedFile::open(whole);
  std::filesystem::resize_file(path, 5000);
  std::array<int64_t, 2> num_lost{};
  auto count = [&](size_t i) {
    std::span<const std::byte> bytes = file->bytes();
    num_lost[i] = std::count(bytes.begin() + 5000, bytes.end(), std::byte{0});
  };
  std::thread beside(count, 1);
  count(0);
  beside.join();
  EXPECT_EQ(num_lost[0], 95'000);
  EXPECT_EQ(num_lost[1], 95'000);
  EXPECT_EQ(std::count(file->bytes().begin(), file->bytes().end(), std::byte{'x'}), 5000);
  EXPECT_EQ(std::count(other->bytes().begin(), other->bytes().end(), std::byte{'x'}), 50'000);
  std::filesystem::remove(path);
  std::filesystem::remove(whole);
}

TEST(MappedFile, ABusErrorElsewhereStillEndsTheProcess) {
  std::string path = file_of_bytes("unguarded", 100'000);
  auto guarded = MappedFile::open(path);
  auto read_a_lost_page = [&] {
    int fd = ::open(path.c_str(), O_RDONLY);
    auto* p = static_cast<char*>(::mmap(nullptr, 100'000, PROT_READ, MAP_PRIVATE, fd, 0));
    std::filesystem::resize_file(path, 0);
    volatile char lost = p[50'000];
    std::exit(lost);
  };
  EXPECT_DEATH(read_a_lost_page(), "");
  EXPECT_EXIT(::raise(SIGBUS), [](int status) { return status != 0; }, "");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace turgo
