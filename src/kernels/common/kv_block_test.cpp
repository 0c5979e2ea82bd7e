// Page sizes, and what kv_store() of every ISA leaves in a page, read back by the slow reader.
#include "kernels/common/kv_block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "core/dtype.h"
#include "kernels/cpu/kernel_table.h"

namespace turgo {
namespace {

constexpr KvType kTypes[] = {KvType::kF32, KvType::kBF16, KvType::kI8, KvType::kI4, KvType::kK8V4};
constexpr int kHeadDims[] = {2, 10, 32, 34, 64, 80, 96, 112, 128, 192, 256};

TEST(KvBlock, Sizes) {
  const auto per_token = [](KvType type, int head_dim) {
    return static_cast<double>(KvGeometry{type, 1, head_dim}.page_bytes()) / kKvBlockTokens;
  };
  EXPECT_EQ(per_token(KvType::kF32, 64), 512);
  EXPECT_EQ(per_token(KvType::kBF16, 64), 256);
  EXPECT_EQ(per_token(KvType::kI8, 64), 136);
  EXPECT_EQ(per_token(KvType::kI4, 64), 72);
  EXPECT_EQ(per_token(KvType::kK8V4, 64), 108);
  EXPECT_NEAR(per_token(KvType::kBF16, 64) / per_token(KvType::kI8, 64), 1.88, 0.005);
  EXPECT_NEAR(per_token(KvType::kBF16, 64) / per_token(KvType::kI4, 64), 3.56, 0.005);
  for (int head_dim : {32, 64, 96, 128, 256}) {  // the formulas of kv_block.h, where no padding is needed
    EXPECT_EQ(per_token(KvType::kBF16, head_dim), 4 * head_dim);
    EXPECT_EQ(per_token(KvType::kI8, head_dim), 2 * head_dim + 8);
    EXPECT_EQ(per_token(KvType::kI4, head_dim), head_dim + 8);
    EXPECT_EQ(per_token(KvType::kK8V4, head_dim), 1.5 * head_dim + 4 + head_dim / 8.0);
  }
  for (KvType type : kTypes) {
    for (int head_dim : kHeadDims) {
      const KvGeometry g{type, 3, head_dim};
      EXPECT_EQ(g.k_bytes() % 64, 0);
      EXPECT_EQ(g.v_bytes() % 64, 0);
      EXPECT_EQ(g.layer_bytes(), 3 * (g.k_bytes() + g.v_bytes()));
    }
  }
}

// Largest error that a value among values in [low, high] may have.
double allowed(KvType type, bool is_v, double low, double high, double value) {
  if (type == KvType::kF32) return 0;
  if (type == KvType::kBF16) return std::abs(value) / 256;
  const bool nibble = type == KvType::kI4 || (type == KvType::kK8V4 && is_v);
  // Half a step, of a range that bf16 rounding widened.
  return 0.505 * (high - low + std::abs(low) / 128) / (nibble ? 15 : 255) * (1 + 1.0 / 128) +
         1e-6 * std::abs(value) + 1e-28;
}

void expect_slot(const KvGeometry& g, const std::byte* page, int slot, const std::vector<float>& k,
                 const std::vector<float>& v, const char* isa) {
  const int64_t n = g.head_dim;
  std::vector<float> got_k(k.size()), got_v(v.size());
  load_kv_token(g, page, slot, got_k.data(), got_v.data());
  for (int64_t d = 0; d < n; ++d) {
    const auto i = static_cast<size_t>(d);
    const auto [k_low, k_high] = std::minmax_element(k.begin(), k.end());
    const int64_t group = g.type == KvType::kK8V4 ? kKvValueGroup : n;
    const auto begin = v.begin() + d / group * group;
    const auto [v_low, v_high] =
        std::minmax_element(begin, v.begin() + std::min(n, d / group * group + group));
    ASSERT_LE(std::abs(double{got_k[i]} - double{k[i]}),
              allowed(g.type, false, double{*k_low}, double{*k_high}, double{k[i]}))
        << isa << ' ' << kv_type_name(g.type) << " head_dim " << n << " slot " << slot << " K " << d;
    ASSERT_LE(std::abs(double{got_v[i]} - double{v[i]}),
              allowed(g.type, true, double{*v_low}, double{*v_high}, double{v[i]}))
        << isa << ' ' << kv_type_name(g.type) << " head_dim " << n << " slot " << slot << " V " << d;
  }
}

TEST(KvBlock, StoredSlotsReadBack) {
  for (const KernelTable* const* t = usable_kernel_tables(); *t != nullptr; ++t) {
    for (KvType type : kTypes) {
      for (int head_dim : kHeadDims) {
        const KvGeometry g{type, 1, head_dim};
        const auto bytes = static_cast<size_t>(g.page_bytes());
        std::vector<std::byte> page(bytes + 64, std::byte{0xff});
        std::mt19937 rng(3);
        std::normal_distribution<float> normal;
        std::vector<std::vector<float>> k(64), v(64);
        std::vector<int> order(64);
        for (int s = 0; s < 64; ++s) {
          order[static_cast<size_t>(s)] = s;
          const float offset = s % 3 == 0 ? 7.f : 0.f, size = s % 5 == 0 ? 1e-3f : 1.f;
          for (int d = 0; d < head_dim; ++d) {
            k[static_cast<size_t>(s)].push_back(normal(rng) * size + offset);
            v[static_cast<size_t>(s)].push_back(normal(rng) * size - offset);
          }
        }
        std::shuffle(order.begin(), order.end(), rng);
        for (int s : order) {
          (*t)->kv_store(g, k[static_cast<size_t>(s)].data(), v[static_cast<size_t>(s)].data(), s,
                         page.data());
        }
        for (int s = 0; s < 64; ++s) {
          expect_slot(g, page.data(), s, k[static_cast<size_t>(s)], v[static_cast<size_t>(s)], (*t)->isa);
        }
        for (size_t i = bytes; i < page.size(); ++i) ASSERT_EQ(page[i], std::byte{0xff});
      }
    }
  }
}

TEST(KvBlock, EqualTinyHugeAndBrokenValues) {
  for (const KernelTable* const* t = usable_kernel_tables(); *t != nullptr; ++t) {
    for (KvType type : kTypes) {
      const KvGeometry g{type, 1, 64};
      std::vector<std::byte> page(static_cast<size_t>(g.page_bytes()));
      for (float value : {0.f, 1.f, -3.337f, 1e-35f, 1e30f, -1e30f}) {
        const std::vector<float> x(64, value);
        (*t)->kv_store(g, x.data(), x.data(), 9, page.data());
        expect_slot(g, page.data(), 9, x, x, (*t)->isa);
      }
      // Our own overflow upstream must stay in its slot and crash nothing.
      std::vector<float> x(64, 1);
      x[5] = NAN, x[6] = INFINITY, x[7] = -INFINITY;
      (*t)->kv_store(g, x.data(), x.data(), 9, page.data());
      const std::vector<float> ones(64, 1);
      (*t)->kv_store(g, ones.data(), ones.data(), 10, page.data());
      expect_slot(g, page.data(), 10, ones, ones, (*t)->isa);
    }
  }
}

}  // namespace
}  // namespace turgo
