// Row kernels of every ISA against double precision, at every tail length; exp, tanh and erfc over their
// range.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_math.h"
#include "kernels/cpu/simd_scalar.h"

namespace turgo {
namespace {

constexpr int64_t kLengths[] = {1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 63, 64, 65, 100, 576, 1001};

std::vector<float> random_row(int64_t n, float deviation = 1) {
  std::mt19937 rng(static_cast<unsigned>(n));
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(rng);
  return x;
}

// A row with guard values behind it that must not change.
struct Guarded {
  std::vector<float> data;
  explicit Guarded(std::vector<float> x) : data(std::move(x)) { data.resize(data.size() + 16, 12345.f); }
  ~Guarded() {
    for (size_t i = data.size() - 16; i < data.size(); ++i) EXPECT_EQ(data[i], 12345.f);
  }
  float* row() { return data.data(); }
};

void expect_relative(double got, double want, double tolerance, const char* what) {
  EXPECT_LE(std::abs(got - want), tolerance * std::abs(want) + 1e-37)
      << what << ": " << got << " for " << want;
}

template <class F>
void for_each_table(F f) {
  for (const KernelTable* const* t = usable_kernel_tables(); *t != nullptr; ++t) f(**t);
}

TEST(RowsMath, RelativeErrors) {
  const auto lane = [](float x) { return SimdScalar::set1(x); };
  for (float x = -87.3f; x < 88.3f; x += 0.0037f) {
    expect_relative(double{exp<SimdScalar>(lane(x))[0]}, std::exp(double{x}), 2e-7, "exp");
  }
  for (float x = -125.9f; x <= 1; x += 0.0041f) {
    expect_relative(double{exp2_low<SimdScalar>(lane(x))[0]}, std::exp2(double{x}), 3e-7, "exp2");
  }
  for (float x = -20; x < 20; x += 0.0011f) {
    expect_relative(double{tanh<SimdScalar>(lane(x))[0]}, std::tanh(double{x}), 4e-7, "tanh");
  }
  for (float x = 0; x < 9; x += 0.0007f) {
    expect_relative(double{erfc<SimdScalar>(lane(x))[0]}, std::erfc(double{x}), 7e-7 + 1.2e-7 * double{x * x},
                    "erfc");
  }
  for (float x = 1e-30f; x < 0.1f; x *= 1.7f) {
    expect_relative(double{tanh<SimdScalar>(lane(x))[0]}, std::tanh(double{x}), 4e-7, "tanh");
  }
}

TEST(RowsMath, Extremes) {
  const auto e = [](float x) { return exp<SimdScalar>(SimdScalar::set1(x))[0]; };
  const auto e2 = [](float x) { return exp2_low<SimdScalar>(SimdScalar::set1(x))[0]; };
  EXPECT_EQ(e2(0), 1.f);
  EXPECT_EQ(e2(-127), 0.f);
  EXPECT_EQ(e2(-INFINITY), 0.f);
  EXPECT_TRUE(std::isnan(e2(NAN)));
  EXPECT_EQ(e(0), 1.f);
  EXPECT_EQ(e(-88), 0.f);
  EXPECT_EQ(e(-INFINITY), 0.f);
  EXPECT_EQ(e(-3.4e38f), 0.f);
  EXPECT_GT(e(INFINITY), 1e38f);
  EXPECT_TRUE(std::isnan(e(NAN)));
  EXPECT_EQ(tanh<SimdScalar>(SimdScalar::set1(1e30f))[0], 1.f);
  EXPECT_EQ(tanh<SimdScalar>(SimdScalar::set1(-1e30f))[0], -1.f);
  EXPECT_EQ(erfc<SimdScalar>(SimdScalar::set1(1e18f))[0], 0.f);
}

TEST(Rows, RmsNorm) {
  for_each_table([](const KernelTable& table) {
    for (int64_t n : kLengths) {
      const std::vector<float> x = random_row(n, 3), w = random_row(n + 1);
      double squares = 0;
      for (float v : x) squares += double{v} * double{v};
      const double factor = 1 / std::sqrt(squares / static_cast<double>(n) + 1e-5);
      Guarded y(x);  // in place
      table.rms_norm(y.row(), w.data(), 1e-5f, n, y.row());
      for (size_t i = 0; i < x.size(); ++i) {
        expect_relative(double{y.row()[i]}, double{x[i]} * factor * double{w[i]}, 6e-7, table.isa);
      }
    }
  });
}

double reference(Activation a, double x) {
  switch (a) {
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kGeluTanh:
      return x / (1 + std::exp(-2 * 0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case Activation::kGelu:
      return x * 0.5 * std::erfc(-x * 0.7071067811865476);
    case Activation::kRelu:
      return std::max(x, 0.0);
  }
  return 0;
}

TEST(Rows, GatedActivation) {
  for_each_table([](const KernelTable& table) {
    for (Activation a : {Activation::kSilu, Activation::kGeluTanh, Activation::kGelu, Activation::kRelu}) {
      for (int64_t n : kLengths) {
        const std::vector<float> gate = random_row(n, 2), up = random_row(n + 1);
        Guarded y(std::vector<float>(gate.size(), NAN)), alone(gate);
        table.gated_activation(a, gate.data(), up.data(), n, y.row());
        table.gated_activation(a, alone.row(), nullptr, n, alone.row());
        for (size_t i = 0; i < gate.size(); ++i) {
          const double g = reference(a, double{gate[i]});
          // Relative errors of exp's argument grow with it: |x| <= 8 here.
          expect_relative(double{y.row()[i]}, g * double{up[i]}, 4e-6, table.isa);
          expect_relative(double{alone.row()[i]}, g, 4e-6, table.isa);
        }
      }
      // Far tails neither overflow nor lose the sign.
      const float gate[] = {-1e4f, -100, -90, -20, 20, 90, 1e4f, 0}, up[] = {1, 1, 1, 1, 1, 1, 1, 1};
      float y[8];
      table.gated_activation(a, gate, up, 8, y);
      for (int i = 0; i < 4; ++i) EXPECT_NEAR(y[i], 0, 5e-8) << table.isa;
      for (int i = 4; i < 8; ++i) EXPECT_FLOAT_EQ(y[i], gate[i]) << table.isa;
    }
  });
}

TEST(Rows, AddScaleSoftCap) {
  for_each_table([](const KernelTable& table) {
    for (int64_t n : kLengths) {
      const std::vector<float> x = random_row(n), y0 = random_row(n + 1, 40);
      Guarded sum({y0.begin(), y0.end() - 1}), scaled = sum, capped = sum;
      table.add(x.data(), n, sum.row());
      table.scale(-0.37f, n, scaled.row());
      table.soft_cap(30, n, capped.row());
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(sum.row()[i], y0[i] + x[i]);
        EXPECT_EQ(scaled.row()[i], y0[i] * -0.37f);
        expect_relative(double{capped.row()[i]}, 30 * std::tanh(double{y0[i]} / 30), 6e-7, table.isa);
      }
    }
  });
}

TEST(Rows, Rope) {
  for_each_table([](const KernelTable& table) {
    for (int64_t head_dim : {2, 32, 64, 80, 128}) {
      for (int64_t rotary : {head_dim, head_dim / 4 * 2}) {
        for (bool interleaved : {false, true}) {
          const std::vector<float> x = random_row(head_dim);
          std::vector<float> cos_sin;
          for (int64_t i = 0; i < rotary / 2; ++i) {
            cos_sin.push_back(std::cos(static_cast<float>(i) + 0.5f));
            cos_sin.push_back(std::sin(static_cast<float>(i) + 0.5f));
          }
          std::vector<float> want = x;
          for (int64_t i = 0; i < rotary / 2; ++i) {
            const size_t a = static_cast<size_t>(interleaved ? 2 * i : i);
            const size_t b = static_cast<size_t>(interleaved ? 2 * i + 1 : i + rotary / 2);
            const float c = cos_sin[static_cast<size_t>(2 * i)], s = cos_sin[static_cast<size_t>(2 * i + 1)];
            want[a] = x[a] * c - x[b] * s;
            want[b] = x[b] * c + x[a] * s;
          }
          Guarded y(x);
          table.rope(cos_sin.data(), rotary, interleaved, y.row());
          for (size_t i = 0; i < x.size(); ++i)
            EXPECT_EQ(y.row()[i], want[i]) << table.isa << ' ' << head_dim;
        }
      }
    }
  });
}

// A row's bits do not depend on its address.
TEST(Rows, BitsDoNotDependOnAlignment) {
  for_each_table([](const KernelTable& table) {
    for (int64_t n : {5, 64, 577}) {
      const std::vector<float> x = random_row(n), w = random_row(n);
      std::vector<float> first(x.size());
      for (size_t shift = 0; shift < 17; ++shift) {
        std::vector<float> moved(x.size() + shift), y(x.size() + shift);
        std::copy(x.begin(), x.end(), moved.begin() + static_cast<std::ptrdiff_t>(shift));
        table.rms_norm(moved.data() + shift, w.data(), 1e-6f, n, y.data() + shift);
        table.gated_activation(Activation::kSilu, y.data() + shift, moved.data() + shift, n,
                               y.data() + shift);
        if (shift == 0) first = y;
        EXPECT_EQ(std::memcmp(first.data(), y.data() + shift, x.size() * sizeof(float)), 0) << table.isa;
      }
    }
  });
}

}  // namespace
}  // namespace turgo
