#include "serve/embeddings/pooling.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace turgo {
namespace {

using Kind = PoolingConfig::Kind;

std::vector<float> pooled(PoolingConfig config, size_t dimensions = 0) {
  Pool pool(config);
  for (std::vector<float> row : {std::vector<float>{1, 0, 7}, {2, 2, 2}, {3, 4, 12}}) pool.add(row);
  return pool.finish(dimensions);
}

TEST(Pooling, Kinds) {
  EXPECT_EQ(pooled({Kind::kLast, false}), (std::vector<float>{3, 4, 12}));
  EXPECT_EQ(pooled({Kind::kFirst, false}), (std::vector<float>{1, 0, 7}));
  EXPECT_EQ(pooled({Kind::kMean, false}), (std::vector<float>{2, 2, 7}));
  EXPECT_EQ(pooled({Kind::kLast, true}), (std::vector<float>{3 / 13.f, 4 / 13.f, 12 / 13.f}));
  EXPECT_EQ(pooled({Kind::kLast, true}, 2), (std::vector<float>{0.6f, 0.8f}));  // cut, then normalised
}

TEST(Pooling, WhatAFolderSays) {
  namespace fs = std::filesystem;
  fs::path folder = fs::temp_directory_path() / "turgo_pooling_test";
  fs::remove_all(folder);
  fs::create_directories(folder / "1_Pooling");
  auto write = [&](const char* name, const char* text) { std::ofstream(folder / name) << text; };
  write("1_Pooling/config.json", R"({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false})");
  PoolingConfig mean = read_pooling(folder);
  EXPECT_EQ(mean.kind, Kind::kMean);
  EXPECT_FALSE(mean.normalizes);
  write("modules.json", R"([{"idx": 2, "type": "sentence_transformers.models.Normalize"}])");
  EXPECT_TRUE(read_pooling(folder).normalizes);
  write("1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  EXPECT_THROW(read_pooling(folder), Error);
  write("1_Pooling/config.json", "[1");
  EXPECT_THROW(read_pooling(folder), Error);
  fs::remove_all(folder);
  EXPECT_EQ(read_pooling(std::string(TURGO_SOURCE_DIR) + "/tests/goldens/models/gguf_llama/model.gguf").kind,
            Kind::kLast);
}

}  // namespace
}  // namespace turgo
