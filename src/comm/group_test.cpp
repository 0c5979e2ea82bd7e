// The thread group's verbs: right sums, the same bits on every rank, many rounds, and no rank left waiting.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "comm/nccl.h"
#include "comm/thread_group.h"
#include "core/error.h"

namespace turgo {
namespace {

void on_ranks(const std::vector<std::shared_ptr<Group>>& ranks, const std::function<void(Group&)>& f) {
  std::vector<std::thread> threads;
  for (const auto& rank : ranks) threads.emplace_back([&f, rank] { f(*rank); });
  for (auto& t : threads) t.join();
}

TEST(ThreadGroup, SumsInRankOrder) {
  for (int size : {1, 2, 3, 4}) {
    auto ranks = make_thread_group(size);
    for (int64_t count : {1, 15, 16, 17, 576, 5000}) {
      std::vector<std::vector<float>> data(static_cast<size_t>(size));
      std::mt19937 rng(static_cast<uint32_t>(count));
      std::normal_distribution<float> normal;
      for (auto& values : data)
        for (int64_t i = 0; i < count; ++i) values.push_back(normal(rng) * 1e3f);
      auto expected = data[0];
      for (size_t r = 1; r < data.size(); ++r)
        for (size_t i = 0; i < expected.size(); ++i) expected[i] += data[r][i];
      on_ranks(ranks, [&](Group& g) { g.all_reduce(data[static_cast<size_t>(g.rank())].data(), count); });
      for (const auto& values : data) EXPECT_EQ(values, expected) << size << " " << count;
    }
  }
}

TEST(ThreadGroup, GathersInRankOrder) {
  auto ranks = make_thread_group(3);
  std::vector<std::vector<float>> full(3, std::vector<float>(21));
  on_ranks(ranks, [&](Group& g) {
    std::vector<float> local(7);
    for (size_t i = 0; i < 7; ++i) local[i] = static_cast<float>(g.rank()) * 7 + static_cast<float>(i);
    g.all_gather(local.data(), 7, full[static_cast<size_t>(g.rank())].data());
  });
  for (const auto& values : full)
    for (size_t i = 0; i < 21; ++i) EXPECT_EQ(values[i], static_cast<float>(i));
}

TEST(ThreadGroup, ManyRoundsInARow) {
  auto ranks = make_thread_group(4);
  on_ranks(ranks, [&](Group& g) {
    for (int round = 0; round < 2000; ++round) {
      float value = static_cast<float>(round * (g.rank() + 1));
      g.all_reduce(&value, 1);
      ASSERT_EQ(value, static_cast<float>(round * 10));
    }
  });
}

TEST(ThreadGroup, AbortFreesWhoWaitsAndWhoComesLater) {
  auto ranks = make_thread_group(3);
  std::atomic<int> thrown = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    thrown = 0;
    on_ranks(ranks, [&](Group& g) {
      float value = 1;
      if (g.rank() == 1) {
        g.all_reduce(&value, 1);
        if (attempt % 2) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        g.abort();
        return;
      }
      if (g.rank() == 2 && attempt % 3 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(4));
      try {  // the first may end with it too: rank 1 can be through before this one is
        g.all_reduce(&value, 1);
        g.all_reduce(&value, 1);
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), ErrorCode::kCancelled);
        ++thrown;
      }
    });
    EXPECT_EQ(thrown, 2);
    ranks[0]->reset();
  }
  on_ranks(ranks, [](Group& g) {
    float value = 1;
    g.all_reduce(&value, 1);
    EXPECT_EQ(value, 3);
  });
}

TEST(Nccl, AbsentSaysWhatToDo) {
  try {
    make_nccl_group(0, 2, "");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("--tp on a CPU"), std::string::npos);
  }
  EXPECT_THROW(make_nccl_group(2, 2, ""), Error);
}

}  // namespace
}  // namespace turgo
