// The drafter's seam: trees as data, and one step over a tree reads what each of its paths would read alone.
#include "engine/drafter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "models/tiny_model.h"
#include "ops/eager.h"

namespace turgo {
namespace {

// What followed the last token when it came before, twice at most: the smallest useful drafter.
class LookupDrafter : public Drafter {
 public:
  DraftTree propose(std::span<const int32_t> tokens, TensorView) override {
    DraftTree tree;
    int num_branches = 0;
    for (size_t i = tokens.size() - 1; i-- > 0 && num_branches < 2;) {
      if (tokens[i] != tokens.back()) continue;
      ++num_branches;
      int32_t parent = -1;
      for (size_t j = i + 1; j < std::min(i + 4, tokens.size()); ++j) {
        tree.token_ids.push_back(tokens[j]);
        tree.parents.push_back(parent);
        parent = tree.size() - 1;
      }
    }
    return tree;
  }
};

TEST(DraftTree, MasksDepthsAndAcceptance) {
  //  -1 -> 0:5 -> 1:6 -> 2:7
  //             -> 3:8
  //     -> 4:9
  DraftTree tree{{5, 6, 7, 8, 9}, {-1, 0, 1, 0, -1}};
  EXPECT_TRUE(tree.is_valid());
  EXPECT_EQ(tree.masks(), (std::vector<uint64_t>{0b1, 0b11, 0b111, 0b1001, 0b10000}));
  EXPECT_EQ(tree.depths(), (std::vector<int32_t>{1, 2, 3, 2, 1}));
  EXPECT_EQ(tree.accepted(std::vector<int32_t>{5, 8, 0, 0, 1, 0}), (std::vector<int32_t>{0, 3}));
  EXPECT_EQ(tree.accepted(std::vector<int32_t>{5, 6, 7, 2, 1, 0}), (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(tree.accepted(std::vector<int32_t>{9, 5, 5, 5, 5, 5}), (std::vector<int32_t>{4}));
  EXPECT_TRUE(tree.accepted(std::vector<int32_t>{1, 5, 5, 5, 5, 5}).empty());
  EXPECT_FALSE((DraftTree{{1, 2}, {-1}}).is_valid());
  EXPECT_FALSE((DraftTree{{1}, {0}}).is_valid());
  EXPECT_FALSE((DraftTree{{1}, {-2}}).is_valid());
  EXPECT_FALSE((DraftTree{std::vector<int32_t>(33, 1), std::vector<int32_t>(33, -1)}).is_valid());
}

// Logits of every node of `tree` behind `context`, from one forward.
std::vector<float> tree_logits(Decoder& decoder, const std::vector<int32_t>& context, const DraftTree& tree) {
  auto n = static_cast<int32_t>(tree.size()), begin = static_cast<int32_t>(context.size());
  std::vector<int32_t> blocks = {2, 0, 1}, positions, rows;
  std::vector<std::shared_ptr<void>> memory;
  std::vector<std::byte*> pools;
  for (const CacheSpec& spec : decoder.cache_specs()) {
    memory.push_back(decoder.executor().allocate(spec.block_bytes * 3));
    pools.push_back(static_cast<std::byte*>(memory.back().get()));
  }
  std::vector<float> logits(static_cast<size_t>(n) * static_cast<size_t>(decoder.config().vocab_size));
  auto forward = [&](const std::vector<int32_t>& ids, SequenceRows seq) {
    std::vector<std::vector<SequenceRows>> sequences(pools.size(), {seq});
    StepInput in;
    in.num_rows = seq.num_rows;
    in.token_ids = ids.data();
    in.positions = positions.data();
    in.sequences = sequences;
    in.pools = pools;
    in.logits_rows = rows;
    decoder.forward(
        in, f32_matrix(logits.data(), static_cast<int64_t>(rows.size()), decoder.config().vocab_size));
    decoder.executor().synchronize();
  };
  SequenceRows seq;
  seq.num_rows = begin;
  seq.block_table = blocks.data();
  for (int32_t i = 0; i < begin; ++i) positions.push_back(i);
  forward(context, seq);
  auto masks = tree.masks();
  auto depths = tree.depths();
  positions.clear();
  for (int32_t i = 0; i < n; ++i) {
    positions.push_back(begin - 1 + depths[static_cast<size_t>(i)]);
    rows.push_back(i);
  }
  seq.first_index = begin;
  seq.num_rows = n;
  seq.tree_mask = masks.data();
  forward(tree.token_ids, seq);
  return logits;
}

TEST(Drafter, OneStepChecksEveryPath) {
  DecoderConfig config = TinyModel::llama_config();
  auto executor =
      make_eager_executor(std::make_shared<ThreadTeam>(2), *select_kernels(nullptr), Precision::kF32);
  Decoder decoder(config, TinyModel(3).weights(config), executor, KvType::kF32, 128, 128);
  std::vector<int32_t> context;
  for (int32_t i = 0; i < 62; ++i) context.push_back(i * 7 % 12);  // 12 tokens again and again
  std::unique_ptr<Drafter> drafter = std::make_unique<LookupDrafter>();
  EXPECT_FALSE(drafter->needs_hidden());
  DraftTree tree = drafter->propose(context, {});
  ASSERT_EQ(tree.size(), 6);  // across the end of a block
  tree.token_ids[4] = 90;     // branches that differ
  ASSERT_TRUE(tree.is_valid());

  auto vocab = static_cast<size_t>(config.vocab_size);
  auto all = tree_logits(decoder, context, tree);
  for (int32_t leaf = 0; leaf < tree.size(); ++leaf) {
    auto path = context;
    std::vector<int32_t> nodes;
    for (int32_t i = leaf; i >= 0; i = tree.parents[static_cast<size_t>(i)])
      nodes.insert(nodes.begin(), tree.token_ids[static_cast<size_t>(i)]);
    path.insert(path.end(), nodes.begin(), nodes.end());
    TestSequence alone(decoder, 128);
    auto expected = alone.feed(path);
    for (size_t v = 0; v < vocab; ++v)
      ASSERT_NEAR(all[static_cast<size_t>(leaf) * vocab + v], expected[expected.size() - vocab + v], 1e-5)
          << leaf;
  }
}

}  // namespace
}  // namespace turgo
