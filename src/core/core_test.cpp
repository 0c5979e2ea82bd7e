#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

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

}  // namespace
}  // namespace turgo
