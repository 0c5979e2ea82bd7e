// Attention of every ISA against its slow twin, and the law of batch invariance bit for bit.
#include "kernels/cpu/attention_test_cache.h"

#include <gtest/gtest.h>

#include <string>

namespace turgo {
namespace {

constexpr KvType kTypes[] = {KvType::kF32, KvType::kBF16, KvType::kI8, KvType::kI4, KvType::kK8V4};

// Largest error allowed per unit of the largest output, for scores of about unit size: four times the worst
// seen.
double tolerance(const KernelTable& table, KvType type) {
  switch (type) {
    case KvType::kF32:
      return 1.5e-6;
    case KvType::kBF16:
      return std::string(table.isa) == "avx512" || std::string(table.isa) == "amx"
                 ? 1e-2
                 : 1.5e-6;  // q, probabilities in bf16
    default:
      return 2e-4;  // q as 15-bit integers
  }
}

// From the first 64-byte boundary on; 16 floats more than are used.
float* aligned(std::vector<float>& floats) {
  return floats.data() + (64 - reinterpret_cast<uintptr_t>(floats.data()) % 64) % 64 / sizeof(float);
}

struct Problem {
  KvType type = KvType::kF32;
  int head_dim = 64, group = 3, first_index = 0, num_queries = 1;
  int window = 0;
  float soft_cap = 0, q_deviation = 1;
  bool sinks = false, alibi = false, span = false, tree = false;

  std::string name() const {
    return std::string(kv_type_name(type)) + " head_dim " + std::to_string(head_dim) + " group " +
           std::to_string(group) + " first " + std::to_string(first_index) + " queries " +
           std::to_string(num_queries) + " window " + std::to_string(window) + " cap " +
           std::to_string(soft_cap) + (sinks ? " sinks" : "") + (alibi ? " alibi" : "") +
           (span ? " span" : "") + (tree ? " tree" : "");
  }
};

// The inputs of a Problem, with the cache filled by `table`.
struct Inputs {
  Problem p;
  TestCache cache;
  std::vector<float> q, sinks, slopes;
  std::vector<int32_t> last_visible;
  std::vector<uint64_t> tree;

  Inputs(const KernelTable& table, const Problem& problem)
      : p(problem), cache(p.type, p.head_dim, p.first_index + p.num_queries, 5) {
    const size_t n = static_cast<size_t>(p.head_dim);
    const int tokens = p.first_index + p.num_queries;
    for (int t = 0; t < tokens; ++t) {
      const auto k = random_floats(n, 100u + static_cast<unsigned>(t));
      const auto v = random_floats(n, 90000u + static_cast<unsigned>(t));
      cache.store(table, t, k.data(), v.data());
    }
    q = random_floats(static_cast<size_t>(p.num_queries * stride()), 7, p.q_deviation);
    if (p.sinks) sinks = random_floats(static_cast<size_t>(p.group), 8, 3);
    if (p.alibi) slopes = random_floats(static_cast<size_t>(p.group), 9, 0.05f);
    std::mt19937 rng(10);
    for (int i = 0; i < p.num_queries; ++i) {
      // Spans of five bidirectional tokens.
      if (p.span) last_visible.push_back(std::min(tokens - 1, p.first_index + i / 5 * 5 + 4));
      if (p.tree) tree.push_back((uint64_t{rng()} << 32 | rng()) % (uint64_t{1} << i) | uint64_t{1} << i);
    }
  }
  int stride() const { return p.group * p.head_dim + 5; }

  // Queries [begin, begin + count), heads [head, head + heads). A tree is always run whole.
  AttentionArgs args(int begin, int count, int head, int heads, float* out) {
    AttentionArgs a = cache.args();
    a.q = q.data() + begin * stride() + head * p.head_dim;
    a.q_stride = stride();
    a.out = out;
    a.out_stride = heads * p.head_dim;
    a.num_queries = count;
    a.group = heads;
    a.first_index = p.first_index + begin;
    a.window = p.window;
    a.scale = 1 / std::sqrt(static_cast<float>(p.head_dim));
    a.soft_cap = p.soft_cap;
    if (p.sinks) a.sinks = sinks.data() + head;
    if (p.alibi) a.alibi_slopes = slopes.data() + head;
    if (p.span) a.last_visible = last_visible.data() + begin;
    if (p.tree) a.tree_mask = tree.data();
    return a;
  }
  std::vector<float> run(const KernelTable& table, int begin, int count, int head, int heads) {
    std::vector<float> out(static_cast<size_t>(count * heads * p.head_dim), NAN);
    table.attention(args(begin, count, head, heads, out.data()));
    return out;
  }
  std::vector<float> run(const KernelTable& table) { return run(table, 0, p.num_queries, 0, p.group); }
};

void expect_near_twin(const KernelTable& table, const Problem& problem) {
  Inputs s(table, problem);
  std::vector<float> ignored(static_cast<size_t>(problem.num_queries * problem.group * problem.head_dim));
  std::vector<double> want;
  slow_attention(s.args(0, problem.num_queries, 0, problem.group, ignored.data()), s.cache, want);
  const std::vector<float> got = s.run(table);
  double worst = 0, largest = 1;
  for (size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(double{got[i]} - want[i]);
    worst = error <= worst ? worst : error;  // keeps NaN
    largest = std::max(largest, std::abs(want[i]));
  }
  EXPECT_LE(worst, tolerance(table, problem.type) * largest) << table.isa << ' ' << problem.name();
}

template <class F>
void for_each_table(F f) {
  for (const KernelTable* const* t = usable_kernel_tables(); *t != nullptr; ++t) f(**t);
}

TEST(Attention, EqualsTwinForEveryHeadDimAndGroup) {
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      for (int head_dim : {2, 32, 34, 64, 80, 96, 112, 120, 128, 192, 256}) {
        for (int group : {1, 2, 3, 4, 5, 7, 8}) {
          expect_near_twin(
              table,
              {.type = type, .head_dim = head_dim, .group = group, .first_index = 66, .num_queries = 3});
        }
      }
    }
  });
}

TEST(Attention, EqualsTwinForEveryLength) {
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      for (int length : {1, 2, 63, 64, 65, 200}) {
        expect_near_twin(table, {.type = type, .num_queries = length});
        expect_near_twin(table, {.type = type, .first_index = length - 1});
      }
    }
  });
}

TEST(Attention, EqualsTwinWithMasksCapsSinksAndSlopes) {
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      const Problem p{.type = type, .first_index = 70, .num_queries = 90};
      for (int window : {1, 2, 63, 64, 65, 100}) {
        Problem x = p;
        x.window = window;
        expect_near_twin(table, x);
      }
      Problem x = p;
      x.soft_cap = 2;
      expect_near_twin(table, x);
      x.sinks = true;
      expect_near_twin(table, x);
      x.window = 20;
      expect_near_twin(table, x);
      x = p;
      x.alibi = true;
      expect_near_twin(table, x);
      x = p;
      x.span = true;
      expect_near_twin(table, x);
      for (int first : {0, 1, 30, 63, 64, 100, 127, 128}) {
        x = p;
        x.tree = true;
        x.first_index = first;
        for (int queries : {1, 17, 64}) {
          x.num_queries = queries;
          expect_near_twin(table, x);
        }
      }
    }
  });
}

// The law: the same bits whole, in chunks, one by one, and with the group split.
TEST(Attention, BitsDoNotDependOnTheCall) {
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      for (int variant = 0; variant < 6; ++variant) {
        Problem p{.type = type, .head_dim = 80, .group = 7, .first_index = 460, .num_queries = 80};
        p.window = variant == 1 ? 70 : 0;
        p.soft_cap = variant == 2 ? 3.f : 0;
        p.sinks = variant == 3;
        p.alibi = variant == 4;
        p.q_deviation = variant == 5 ? 50.f : 1.f;  // probabilities down to zero and denormal
        Inputs s(table, p);
        const std::vector<float> whole = s.run(table);
        for (int chunk : {1, 13, 64}) {
          for (int heads : {1, 4, 7}) {
            for (int begin = 0; begin < p.num_queries; begin += chunk) {
              const int count = std::min(chunk, p.num_queries - begin);
              for (int head = 0; head < p.group; head += heads) {
                const int some = std::min(heads, p.group - head);
                const std::vector<float> part = s.run(table, begin, count, head, some);
                const size_t bytes = static_cast<size_t>(some * p.head_dim) * sizeof(float);
                for (int i = 0; i < count; ++i) {
                  const float* a = whole.data() + ((begin + i) * p.group + head) * p.head_dim;
                  const float* b = part.data() + i * some * p.head_dim;
                  ASSERT_EQ(std::memcmp(a, b, bytes), 0) << table.isa << ' ' << p.name() << " chunk " << chunk
                                                         << " heads " << heads << " query " << begin + i;
                }
              }
            }
          }
        }
      }
    }
  });
}

// Split over the keys: parts in any order, then merged, give the bits of the whole.
TEST(Attention, SegmentsMergeToTheSameBits) {
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      for (int variant = 0; variant < 4; ++variant) {
        Problem p{.type = type, .head_dim = 40, .group = 2, .first_index = 1500, .num_queries = 50};
        p.window = variant == 1 ? 600 : 0;
        p.sinks = variant == 2;
        p.span = variant == 3;
        Inputs s(table, p);
        const std::vector<float> whole = s.run(table);
        expect_near_twin(table, p);
        std::vector<float> out(whole.size(), NAN);
        AttentionArgs a = s.args(0, p.num_queries, 0, p.group, out.data());
        a.num_segments = (p.first_index + p.num_queries - 1) / kAttentionSegment + 1;
        const auto records = static_cast<size_t>(p.num_queries * p.group * a.num_segments);
        std::vector<float> partial(records * static_cast<size_t>(attention_record_floats(a.kv)) + 16, NAN);
        a.partial = aligned(partial);
        const int32_t first = variant == 1 ? (p.first_index - p.window) / kAttentionSegment : 0;
        for (a.segment_end = a.num_segments; a.segment_end > first; a.segment_end = a.segment_begin) {
          a.segment_begin = std::max(first, a.segment_end - (variant == 0 ? 2 : 1));
          table.attention(a);
        }
        a.segment_begin = first;
        a.segment_end = a.num_segments;
        table.attention_merge(a);
        EXPECT_EQ(std::memcmp(whole.data(), out.data(), whole.size() * sizeof(float)), 0)
            << table.isa << ' ' << p.name();
      }
    }
  });
}

// Several kv heads in one call, whole or split over the keys, give the bits of one call each.
TEST(Attention, HeadsTogetherHaveTheBitsOfHeadsAlone) {
  constexpr int kKvHeads = 3, kGroup = 2, kHeadDim = 80, kFirst = 1100;
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      for (int queries : {1, 5, 20}) {  // the last fills more than one run of rows
        TestCache cache(type, kHeadDim, kFirst + queries, 5, kKvHeads);
        for (int t = 0; t < kFirst + queries; ++t) {
          for (int h = 0; h < kKvHeads; ++h) {
            const auto seed = static_cast<unsigned>(t * kKvHeads + h);
            const auto k = random_floats(kHeadDim, seed), v = random_floats(kHeadDim, 90000u + seed);
            cache.store(table, t, k.data(), v.data(), h);
          }
        }
        const int stride = kKvHeads * kGroup * kHeadDim;
        const auto n = static_cast<size_t>(queries * stride);
        const auto q = random_floats(n, 7), sinks = random_floats(kKvHeads * kGroup, 8, 3);
        const auto slopes = random_floats(kKvHeads * kGroup, 9, 0.05f);
        for (int variant = 0; variant < 3; ++variant) {
          std::vector<float> alone(n, NAN), together(n, NAN), merged(n, NAN);
          AttentionArgs a = cache.args();
          a.q = q.data();
          a.q_stride = a.out_stride = stride;
          a.num_queries = queries;
          a.num_kv_heads = kKvHeads;
          a.group = kGroup;
          a.first_index = kFirst;
          a.window = variant == 1 ? 300 : 0;
          a.scale = 0.11f;
          a.sinks = variant == 2 ? sinks.data() : nullptr;
          a.alibi_slopes = variant == 2 ? slopes.data() : nullptr;
          for (int h = 0; h < kKvHeads; ++h) {
            AttentionArgs one = a;
            one.num_kv_heads = 1;
            one.page_offset += h * a.kv.page_bytes();
            one.q += h * kGroup * kHeadDim;
            one.out = alone.data() + h * kGroup * kHeadDim;
            if (one.sinks != nullptr) one.sinks += h * kGroup;
            if (one.alibi_slopes != nullptr) one.alibi_slopes += h * kGroup;
            table.attention(one);
          }
          a.out = together.data();
          table.attention(a);
          EXPECT_EQ(std::memcmp(alone.data(), together.data(), n * sizeof(float)), 0)
              << table.isa << ' ' << kv_type_name(type) << ' ' << queries << ' ' << variant;

          a.out = merged.data();
          a.num_segments = (kFirst + queries - 1) / kAttentionSegment + 1;
          std::vector<float> partial(static_cast<size_t>(queries * kKvHeads * kGroup * a.num_segments *
                                                         attention_record_floats(a.kv)) +
                                         16,
                                     NAN);
          a.partial = aligned(partial);
          const int32_t first = variant == 1 ? (kFirst - a.window + 1) / kAttentionSegment : 0;
          for (int32_t s = first; s < a.num_segments; ++s) {
            a.segment_begin = s;
            a.segment_end = s + 1;
            table.attention(a);
          }
          a.segment_begin = first;
          table.attention_merge(a);
          EXPECT_EQ(std::memcmp(alone.data(), merged.data(), n * sizeof(float)), 0)
              << table.isa << ' ' << kv_type_name(type) << ' ' << queries << ' ' << variant;
        }
      }
    }
  });
}

// Pages in front of a window may be freed: they are not read.
TEST(Attention, IgnoresPagesOutsideTheWindow) {
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      Inputs s(table, {.type = type, .first_index = 250, .window = 60});
      const std::vector<float> before = s.run(table);
      s.cache.block_table[0] = s.cache.block_table[1] = 1 << 30;
      const std::vector<float> after = s.run(table);
      EXPECT_EQ(before, after) << table.isa;
    }
  });
}

TEST(Attention, LargeScoresDoNotOverflow) {
  for_each_table([](const KernelTable& table) {
    for (KvType type : kTypes) {
      Inputs s(table, {.type = type, .first_index = 100, .num_queries = 30, .q_deviation = 3e4f});
      for (float x : s.run(table)) ASSERT_TRUE(std::isfinite(x) && std::abs(x) < 6) << table.isa;
    }
  });
}

}  // namespace
}  // namespace turgo
