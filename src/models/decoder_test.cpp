// Laws of the forward pass that hold bit for bit on one machine and ISA, and the hooks that later parts rely
// on.
#include "models/decoder.h"

#include <gtest/gtest.h>

#include "core/thread_team.h"
#include "models/tiny_model.h"
#include "ops/eager.h"

namespace turgo {
namespace {

std::shared_ptr<Executor> eager(int num_threads, const KernelTable& table,
                                Precision precision = Precision::kF32) {
  return make_eager_executor(std::make_shared<ThreadTeam>(num_threads), table, precision);
}

std::vector<int32_t> some_ids(int n) {
  std::vector<int32_t> ids(n);
  for (int i = 0; i < n; ++i) ids[i] = (i * 53 + 7) % 96;
  return ids;
}

TEST(Decoder, ChunksAndThreadsDoNotChangeABit) {
  DecoderConfig config = TinyModel::llama_config();
  auto ids = some_ids(130);
  for (const KernelTable* const* table = usable_kernel_tables(); *table; ++table) {
    SCOPED_TRACE((*table)->isa);
    for (KvType kv : {KvType::kF32, KvType::kBF16}) {
      Precision precision = kv == KvType::kF32 ? Precision::kF32 : Precision::kBF16;
      Decoder one(config, TinyModel(2).weights(config), eager(1, **table, precision), kv, 256, 256);
      TestSequence whole(one, 256);
      auto want = whole.feed(ids);
      Decoder two(config, TinyModel(2).weights(config), eager(2, **table, precision), kv, 256, 256);
      for (int chunk : {3, 64, 65}) {
        TestSequence pieces(two, 256);
        std::vector<float> got;
        for (size_t at = 0; at < ids.size(); at += chunk) {
          auto end = std::min(ids.size(), at + chunk);
          auto part = pieces.feed({ids.begin() + at, ids.begin() + end});
          got.insert(got.end(), part.begin(), part.end());
        }
        ASSERT_EQ(got, want) << "chunks of " << chunk << ", kv " << kv_type_name(kv);
      }
    }
  }
}

TEST(Decoder, EmbeddingRowsEqualTheirTokens) {
  DecoderConfig config = TinyModel::llama_config();
  Decoder decoder(config, TinyModel(2).weights(config), eager(2, *select_kernels(nullptr)), KvType::kF32, 256,
                  64);
  auto ids = some_ids(20);
  TestSequence by_id(decoder, 64);
  auto want = by_id.feed(ids);

  std::vector<float> rows;
  auto mixed = ids;
  for (int i = 4; i < 9; ++i) {
    std::vector<float> row(config.hidden_size);
    dequantize_packed_row(std::get<PackedSegments>(decoder.weights().embed_tokens.data).segments[0], ids[i],
                          row.data());
    rows.insert(rows.end(), row.begin(), row.end());
    mixed[i] = -1;
  }
  TestSequence by_row(decoder, 64);
  EXPECT_EQ(by_row.feed(mixed, f32_matrix(rows.data(), 5, config.hidden_size)), want);
}

TEST(Decoder, LayersMayDifferInWidthOrLackAPart) {
  DecoderConfig config = TinyModel::llama_config(3);
  config.layers[0].num_heads = 2;
  config.layers[0].num_kv_heads = 1;
  config.layers[1].intermediate_size = 40;
  config.layers[2].attention = AttentionKind::kNone;
  Decoder decoder(config, TinyModel(5).weights(config), eager(2, *select_kernels(nullptr)), KvType::kF32, 256,
                  64);
  ASSERT_EQ(decoder.cache_specs()[0].layers, (std::vector<int32_t>{0, 1}));
  auto ids = some_ids(70);
  TestSequence whole(decoder, 128);
  std::vector<float> want;
  for (int at : {0, 64}) {
    auto part = whole.feed({ids.begin() + at, ids.begin() + std::min(70, at + 64)});
    want.insert(want.end(), part.begin(), part.end());
  }
  TestSequence single(decoder, 128);
  std::vector<float> got;
  for (int32_t id : ids) {
    auto part = single.feed({id});
    got.insert(got.end(), part.begin(), part.end());
  }
  EXPECT_EQ(got, want);
}

TEST(Decoder, SlidingLayersForgetWhatLeftTheWindow) {
  DecoderConfig config = TinyModel::llama_config(1);
  config.layers[0].attention = AttentionKind::kSliding;
  config.layers[0].sliding_window = 8;
  Decoder decoder(config, TinyModel(5).weights(config), eager(2, *select_kernels(nullptr)), KvType::kF32, 256,
                  128);
  auto a = some_ids(100), b = a;
  b[50] = (b[50] + 1) % 96;
  TestSequence sa(decoder, 128), sb(decoder, 128);
  auto la = sa.feed(a), lb = sb.feed(b);
  int64_t v = config.vocab_size;
  auto row = [&](const std::vector<float>& l, int i) { return std::vector<float>(&l[i * v], &l[i * v] + v); };
  EXPECT_EQ(row(la, 49), row(lb, 49));
  EXPECT_NE(row(la, 57), row(lb, 57)) << "the last query that sees token 50";
  EXPECT_EQ(row(la, 58), row(lb, 58)) << "one layer: token 50 is out of the window";
}

TEST(Decoder, ForwardLayersInPiecesEqualsForward) {
  DecoderConfig config = TinyModel::llama_config(3);
  Decoder decoder(config, TinyModel(6).weights(config), eager(2, *select_kernels(nullptr)), KvType::kF32, 256,
                  64);
  auto ids = some_ids(10);
  TestSequence whole(decoder, 64);
  auto want = whole.feed(ids);

  auto pool_memory = decoder.executor().allocate(decoder.cache_specs()[0].block_bytes);
  auto* pool = static_cast<std::byte*>(pool_memory.get());
  int32_t block = 0;
  std::vector<int32_t> positions(10), rows(10);
  for (int i = 0; i < 10; ++i) positions[i] = rows[i] = i;
  SequenceRows seq;
  seq.num_rows = 10;
  seq.block_table = &block;
  std::vector<std::vector<SequenceRows>> sequences = {{seq}};
  StepInput in;
  in.num_rows = 10;
  in.token_ids = ids.data();
  in.positions = positions.data();
  in.sequences = sequences;
  in.pools = {&pool, 1};
  in.logits_rows = rows;
  std::vector<float> hidden(10 * config.hidden_size), logits(10 * config.vocab_size);
  TensorView h = f32_matrix(hidden.data(), 10, config.hidden_size);
  decoder.embed(in, h);
  for (int l = 0; l < 3; ++l) decoder.forward_layers(l, l + 1, in, h);
  decoder.logits(in, h, f32_matrix(logits.data(), 10, config.vocab_size));
  EXPECT_EQ(logits, want);
}

}  // namespace
}  // namespace turgo
