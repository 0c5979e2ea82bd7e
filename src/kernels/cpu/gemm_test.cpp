// Every linear kernel of every ISA that this CPU runs, against sums in double over the FILE's rows
// (dequantize_row) with the same rounding of activations written in plain C++; and the batch law, bit for
// bit.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "kernels/common/quant_blocks.h"
#include "kernels/common/test_weights.h"
#include "kernels/cpu/kernel_table.h"

namespace turgo {

extern const KernelTable kAmxEmulatedTable, kAvx512SharingTable;

namespace {

// Those that this CPU runs, and wherever there is AVX-512 the AMX kernels over emulated tiles and what
// Intel's CPUs take of it.
std::vector<const KernelTable*> tested_tables() {
  std::vector<const KernelTable*> tables;
  for (const KernelTable* const* t = usable_kernel_tables(); *t; ++t) tables.push_back(*t);
#if defined(__x86_64__)
  if (select_kernels("avx512")) tables.insert(tables.end(), {&kAmxEmulatedTable, &kAvx512SharingTable});
#endif
  return tables;
}

std::vector<float> random_activations(int64_t m, int64_t k, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(m * k));
  for (float& v : x) v = normal(rng) * (rng() % 50 == 0 ? 20.0f : 1.0f);
  return x;
}

// What the kernels see of one token's x: quants times scale, bf16, or x itself.
std::vector<double> seen_activations(Precision p, const float* x, int64_t k) {
  std::vector<double> seen(static_cast<size_t>(k));
  for (int64_t g = 0; g < k; g += 32) {
    int64_t end = std::min(g + 32, k);
    float absmax = 0;
    for (int64_t i = g; i < end; ++i) absmax = std::max(absmax, std::fabs(x[i]));
    for (int64_t i = g; i < end; ++i) {
      double v = x[i];
      if (p == Precision::kBF16) v = to_f32(to_bf16(x[i]));
      if (p == Precision::kInt8) {
        float inverse = absmax < 1e-30f ? 0.0f : 127.0f / absmax;
        v = static_cast<double>(absmax / 127.0f) * std::nearbyint(x[i] * inverse);
      }
      seen[static_cast<size_t>(i)] = v;
    }
  }
  return seen;
}

struct Linear {
  const KernelTable& table;
  Precision precision;
  TestRows rows;
  AlignedBytes packed;

  Linear(const KernelTable& kernels, Precision p, TestRows r)
      : table(kernels), precision(p), rows(std::move(r)), packed(packed_bytes(rows.dtype, rows.n, rows.k)) {
    pack_weight(rows.dtype, rows.bytes.data(), rows.stride(), rows.n, rows.k, 0, num_panels(rows.n),
                packed.data());
  }

  struct Options {
    const float* bias = nullptr;
    bool accumulate = false;
    bool split = false;  // one call per panel, and tiles packed one by one from the last
  };

  void run(const float* x, int64_t m, float* y, int64_t y_stride, Options options) {
    AlignedBytes activations(table.activation_bytes(precision, m, rows.k));
    int64_t tile = table.activation_tile(precision), tiles = (m + tile - 1) / tile;
    if (options.split) {
      for (int64_t i = tiles; i-- > 0;) {
        table.pack_activations(precision, x, rows.k, m, rows.k, i, i + 1, activations.data());
      }
    } else {
      table.pack_activations(precision, x, rows.k, m, rows.k, 0, tiles, activations.data());
    }
    GemmArgs args;
    args.weight = {rows.dtype, rows.n, rows.k, packed.data()};
    args.precision = precision;
    args.activations = activations.data();
    args.m = m;
    args.y = y;
    args.y_stride = y_stride;
    args.bias = options.bias;
    args.accumulate = options.accumulate;
    args.panel_end = num_panels(rows.n);
    if (!options.split) return table.gemm(args);
    for (int64_t p = num_panels(rows.n); p-- > 0;) {
      args.panel_begin = p;
      args.panel_end = p + 1;
      table.gemm(args);
    }
  }
};

// The rows of a file as f32, and the size of their scale and min terms: what errors are relative to.
struct ReferenceRows {
  std::vector<float> weight, size;

  explicit ReferenceRows(const TestRows& rows) : weight(static_cast<size_t>(rows.n * rows.k)), size(weight) {
    TestRows bare = without_mins(rows);
    for (int64_t r = 0; r < rows.n; ++r) {
      dequantize_row(rows.dtype, rows.row(r), weight.data() + r * rows.k, rows.k);
      dequantize_row(rows.dtype, bare.row(r), size.data() + r * rows.k, rows.k);
    }
    for (size_t i = 0; i < size.size(); ++i) size[i] = std::fabs(size[i]) + std::fabs(weight[i] - size[i]);
  }
};

void expect_close(Linear& linear, const ReferenceRows& reference, const std::vector<float>& x, int64_t m,
                  double tolerance) {
  int64_t n = linear.rows.n, k = linear.rows.k;
  constexpr float kUntouched = 12345.0f;
  int64_t stride = n + 3;
  std::vector<float> y(static_cast<size_t>(m * stride), kUntouched);
  linear.run(x.data(), m, y.data(), stride, {});
  for (int64_t t = 0; t < m; ++t) {
    std::vector<double> a = seen_activations(linear.precision, x.data() + t * k, k);
    for (int64_t r = 0; r < n; ++r) {
      const float* weight = reference.weight.data() + r * k;
      const float* weight_size = reference.size.data() + r * k;
      double sum = 0, size = 0;
      for (int64_t i = 0; i < k; ++i) {
        sum += a[static_cast<size_t>(i)] * double{weight[i]};
        size += std::fabs(a[static_cast<size_t>(i)]) * double{weight_size[i]};
      }
      ASSERT_NEAR(y[static_cast<size_t>(t * stride + r)], sum, tolerance * size + 1e-30)
          << "token " << t << " of " << m << ", row " << r << " of " << n << ", k " << k;
    }
    for (int64_t r = n; r < stride; ++r) ASSERT_EQ(y[static_cast<size_t>(t * stride + r)], kUntouched);
  }
}

struct Case {
  const KernelTable* table;
  DType dtype;
  Precision precision;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const KernelTable* t : tested_tables()) {
    for (DType d : kWeightTypes) {
      for (Precision p : {Precision::kInt8, Precision::kBF16, Precision::kF32}) {
        if (p == Precision::kInt8 && !has_integer_weights(d)) continue;
        cases.push_back({t, d, p});
      }
    }
  }
  return cases;
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  constexpr const char* kNames[] = {"int8", "bf16", "f32"};
  return std::string(info.param.table->isa) + "_" + dtype_info(info.param.dtype).name + "_" +
         kNames[static_cast<int>(info.param.precision)];
}

class GemmOf : public testing::TestWithParam<Case> {
 protected:
  int64_t columns(int blocks) const {
    DType t = GetParam().dtype;
    return is_quantized(t) ? blocks * dtype_info(t).block_size : blocks * 32 - 3;
  }
  Linear linear(int64_t n, int64_t k, ScaleKind kind = ScaleKind::kNormal) const {
    return Linear(*GetParam().table, GetParam().precision, random_rows(GetParam().dtype, n, k, 11, kind));
  }
  // int8 sums are exact in a group; bf16 and f32 add 32 (or k) rounded terms.
  double tolerance() const { return 1e-5; }
};

TEST_P(GemmOf, MatchesTheFile) {
  for (int64_t n : {1, 31, 33, 100}) {
    for (int blocks : {1, 2, 5}) {
      int64_t k = columns(blocks);
      Linear l = linear(n, k);
      ReferenceRows reference(l.rows);
      for (int64_t m : {1, 7, 18}) {
        expect_close(l, reference, random_activations(m, k, 5), m, tolerance());
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(GemmOf, MatchesTheFileForEveryNumberOfTokens) {
  Linear l = linear(33, columns(2));
  ReferenceRows reference(l.rows);
  for (int64_t m = 1; m <= 33; ++m) {
    expect_close(l, reference, random_activations(m, l.rows.k, 5), m, tolerance());
    if (HasFatalFailure()) return;
  }
}

TEST_P(GemmOf, SurvivesHostileValues) {
  int64_t n = 33, k = columns(3);
  for (ScaleKind kind : {ScaleKind::kZero, ScaleKind::kSubnormal, ScaleKind::kMixed}) {
    Linear l = linear(n, k, kind);
    std::vector<float> x = random_activations(7, k, 6);
    for (int64_t i = 0; i < k; ++i) {
      x[static_cast<size_t>(i)] = 0.0f;                                // a token of zeros
      x[static_cast<size_t>(k + i)] *= i < k / 2 ? 1e-20f : 1e10f;     // far apart groups
      x[static_cast<size_t>(2 * k + i)] = i % 32 == 1 ? -3.0f : 0.0f;  // one value per group
    }
    expect_close(l, ReferenceRows(l.rows), x, 7, tolerance());
    if (HasFatalFailure()) return;
  }
}

// k is long enough for every kernel that walks it in pieces, m for those that walk tokens in blocks.
TEST_P(GemmOf, TokensDoNotDependOnTheBatchOrTheSplit) {
  int64_t n = 33,
          k = columns(is_quantized(GetParam().dtype) ? 1280 / dtype_info(GetParam().dtype).block_size : 12);
  int64_t m = is_quantized(GetParam().dtype) ? 110 : 150;
  Linear l = linear(n, k);
  std::vector<float> x = random_activations(m, k, 8);
  auto at = [](std::vector<float>& v, int64_t i) { return v.data() + i; };
  std::vector<float> whole(static_cast<size_t>(m * n)), other(static_cast<size_t>(m * n));
  l.run(x.data(), m, whole.data(), n, {});
  expect_close(l, ReferenceRows(l.rows), x, m, tolerance());
  for (int64_t batch : {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15, 16, 17, 32, 33, 64}) {
    std::fill(other.begin(), other.end(), 0.0f);
    for (int64_t t = 0; t < m; t += batch) {
      l.run(at(x, t * k), std::min(batch, m - t), at(other, t * n), n, {.split = batch == 7 || batch == 33});
    }
    ASSERT_EQ(0, std::memcmp(whole.data(), other.data(), whole.size() * 4)) << "batch " << batch;
  }
}

TEST_P(GemmOf, AddsBiasAndAccumulates) {
  int64_t n = 45, k = columns(2);
  Linear l = linear(n, k);
  for (int64_t m : {7, 30}) {
    std::vector<float> x = random_activations(m, k, 9), bias = random_activations(1, n, 10);
    std::vector<float> plain(static_cast<size_t>(m * n)), start = random_activations(m, n, 12);
    l.run(x.data(), m, plain.data(), n, {});
    std::vector<float> y = start;
    l.run(x.data(), m, y.data(), n, {.bias = bias.data(), .accumulate = true});
    for (size_t i = 0; i < y.size(); ++i) {
      ASSERT_EQ(y[i], start[i] + (plain[i] + bias[i % static_cast<size_t>(n)]));
    }
  }
  std::vector<float> x = random_activations(1, k, 9);
  l.run(x.data(), 0, nullptr, n, {});  // no tokens: nothing is read or written
}

INSTANTIATE_TEST_SUITE_P(All, GemmOf, testing::ValuesIn(all_cases()), case_name);

// So many bytes of activations that the kernels take the tokens in chunks.
TEST(Gemm, LongRowsGiveTheSameBitsInChunks) {
  constexpr int64_t kTokens = 70, kRows = 33, kColumns = 9216;
  struct Kind {
    DType dtype;
    Precision precision;
  };
  for (const KernelTable* table : tested_tables()) {
    for (Kind kind : {Kind{DType::kQ4_1, Precision::kInt8}, Kind{DType::kQ8_0, Precision::kInt8},
                      Kind{DType::kQ4_1, Precision::kBF16}, Kind{DType::kW4G128, Precision::kBF16},
                      Kind{DType::kQ4_K, Precision::kBF16}, Kind{DType::kQ6_K, Precision::kBF16},
                      Kind{DType::kF8G64, Precision::kBF16}, Kind{DType::kQ4_1, Precision::kF32},
                      Kind{DType::kBF16, Precision::kBF16}}) {
      Linear l(*table, kind.precision, random_rows(kind.dtype, kRows, kColumns, 4));
      std::vector<float> x = random_activations(kTokens, kColumns, 5);
      std::vector<float> whole(kTokens * kRows), single(kTokens * kRows);
      l.run(x.data(), kTokens, whole.data(), kRows, {});
      for (int64_t t = 0; t < kTokens; ++t)
        l.run(x.data() + t * kColumns, 1, single.data() + t * kRows, kRows, {});
      EXPECT_EQ(0, std::memcmp(whole.data(), single.data(), whole.size() * 4)) << table->isa;
    }
  }
}

#if defined(__x86_64__)
// int8 sums are exact inside a group, and AMX adds the groups as AVX-512 does.
TEST(Gemm, TilesGiveTheBitsOfVectors) {
  const KernelTable* avx512 = select_kernels("avx512");
  if (!avx512) GTEST_SKIP() << "no AVX-512";
  for (const KernelTable* table : {&kAmxEmulatedTable, select_kernels("amx")}) {
    for (DType d : kWeightTypes) {
      if (!table || !has_integer_weights(d)) continue;
      TestRows rows = random_rows(d, 70, 768, 11);
      Linear vectors(*avx512, Precision::kInt8, rows), tiles(*table, Precision::kInt8, rows);
      for (int64_t m : {1, 15, 16, 37}) {
        std::vector<float> x = random_activations(m, 768, 5), want(static_cast<size_t>(m * 70)), got = want;
        vectors.run(x.data(), m, want.data(), 70, {});
        tiles.run(x.data(), m, got.data(), 70, {});
        EXPECT_EQ(0, std::memcmp(want.data(), got.data(), want.size() * 4)) << dtype_info(d).name << ' ' << m;
      }
    }
  }
}
#endif

// Whatever the ISA, a token is quantised alike: one token's records, where the tile size plays no part.
TEST(Activations, AreQuantisedAlikeOnEveryIsa) {
  constexpr int64_t kColumns = 75;
  std::vector<float> tokens = random_activations(3, kColumns, 3);
  for (size_t i = 0; i < kColumns; ++i) tokens[i] *= i < 32 ? 1e-33f : i < 64 ? 0.0f : 1e30f;
  for (int64_t i = 0; i < kColumns; ++i)
    tokens[static_cast<size_t>(kColumns + i)] = 0.5f + static_cast<float>(i);
  for (int64_t t = 0; t < 3; ++t) {
    const float* x = tokens.data() + t * kColumns;
    for (Precision p : {Precision::kInt8, Precision::kBF16, Precision::kF32}) {
      int64_t record = p == Precision::kInt8 ? 48 : p == Precision::kBF16 ? 72 : 128;
      int64_t exact = p == Precision::kBF16 ? 64 : record;  // f32 sums may round otherwise
      std::vector<std::byte> first;
      for (const KernelTable* table : tested_tables()) {
        AlignedBytes packed(table->activation_bytes(p, 1, kColumns));
        table->pack_activations(p, x, kColumns, 1, kColumns, 0, 1, packed.data());
        if (first.empty()) first.assign(packed.data(), packed.data() + 3 * record);
        for (int64_t g = 0; g < 3; ++g) {
          EXPECT_EQ(0, std::memcmp(packed.data() + g * record, first.data() + g * record,
                                   static_cast<size_t>(exact)))
              << table->isa << ", token " << t << ", group " << g << ", precision " << static_cast<int>(p);
        }
      }
    }
  }
}

// A token with infinities or NaN spoils its own outputs and nothing else.
TEST(Activations, NotFiniteStayWithTheirToken) {
  for (const KernelTable* table : tested_tables()) {
    for (Precision p : {Precision::kInt8, Precision::kBF16, Precision::kF32}) {
      Linear l(*table, p, random_rows(DType::kQ4_1, 33, 64, 4));
      std::vector<float> x = random_activations(7, 64, 5), y(7 * 33), clean(7 * 33);
      l.run(x.data(), 7, clean.data(), 33, {});
      x[2 * 64 + 5] = std::numeric_limits<float>::quiet_NaN();
      x[4 * 64 + 40] = std::numeric_limits<float>::infinity();
      l.run(x.data(), 7, y.data(), 33, {});
      for (size_t t : {0, 1, 3, 5, 6}) {
        EXPECT_EQ(0, std::memcmp(y.data() + t * 33, clean.data() + t * 33, 33 * 4)) << table->isa;
      }
      EXPECT_FALSE(std::isfinite(y[2 * 33])) << table->isa;
      EXPECT_FALSE(std::isfinite(y[4 * 33])) << table->isa;
    }
  }
}

TEST(KernelSelection, KnowsItsNames) {
  ASSERT_NE(usable_kernel_tables()[0], nullptr);
  EXPECT_STREQ(usable_kernel_tables()[0]->isa, "scalar");
  for (const KernelTable* const* t = usable_kernel_tables(); *t; ++t)
    EXPECT_EQ(select_kernels((*t)->isa), *t);
  EXPECT_EQ(select_kernels("no-such-isa"), nullptr);
  EXPECT_NE(select_kernels(nullptr), nullptr);
  EXPECT_EQ(kernel_warning(), nullptr);
}

}  // namespace
}  // namespace turgo
