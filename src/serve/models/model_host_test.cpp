// Who waits for a load gets the model that was loaded, and holds it: it can not go to sleep in between.
#include "serve/models/model_host.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

namespace turgo {
namespace {

class ModelHostTest : public testing::Test {
 protected:
  static ModelSpec spec() { return {"m", std::string(TURGO_SOURCE_DIR) + "/tests/goldens/models/llama_gqa"}; }
  static PipelineConfig small() {
    PipelineConfig config;
    config.session_len = 64;
    config.threads = 1;
    return config;
  }
  bool sleeps() {
    for (auto end = ModelHost::Clock::now() + std::chrono::seconds(30); ModelHost::Clock::now() < end;) {
      if (host_.sleep(false)) return true;
      std::this_thread::yield();
    }
    return false;
  }
  ModelHost host_{spec(), small(), ApiConfig{}, std::make_shared<KeyRing>(std::vector<std::string>{}, "")};
};

TEST_F(ModelHostTest, TheModelThatWasWaitedForStaysAwakeWhileItIsHeld) {
  for (int turn = 0; turn < 3; ++turn) {
    std::promise<std::pair<bool, bool>> seen;  // there is a model; it went to sleep all the same
    host_.load([&](const std::shared_ptr<ModelHost::Running>& model) {
      seen.set_value({model != nullptr, host_.sleep(false)});
    });
    EXPECT_EQ(seen.get_future().get(), (std::pair{true, false})) << host_.error();
    ASSERT_TRUE(sleeps());  // the loader lets go behind its last line
    EXPECT_EQ(host_.state(), ModelState::kAsleep);
  }
}

TEST_F(ModelHostTest, ALoadedModelIsHandedOutAtOnce) {
  std::promise<void> loaded;
  host_.load([&](const std::shared_ptr<ModelHost::Running>&) { loaded.set_value(); });
  loaded.get_future().get();
  std::shared_ptr<ModelHost::Running> held;
  host_.load([&](std::shared_ptr<ModelHost::Running> model) { held = std::move(model); });
  ASSERT_NE(held, nullptr);
  EXPECT_FALSE(host_.sleep(false));
  held.reset();
  EXPECT_TRUE(sleeps());
  EXPECT_EQ(host_.running(), nullptr);
}

}  // namespace
}  // namespace turgo
