#include "core/progress.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

TEST(ProgressLine, FitsEveryWidth) {
  EXPECT_EQ(progress_line("loading", 49'000'000, 98'000'000, 60),
            "loading [###############...............]  50 %  49 of 98 MB");
  EXPECT_EQ(progress_line("loading", 98'000'000, 98'000'000, 30), "loading 100 %  98 of 98 MB");
  for (int columns = 0; columns < 120; ++columns)
    for (int64_t done : {-5, 0, 1, 50, 100, 200})
      EXPECT_LE(progress_line("loading", done, 100, columns).size(),
                static_cast<size_t>(std::max(columns - 1, 0)));
  EXPECT_NO_THROW(progress_line("x", 0, 0, 80));
}

}  // namespace
}  // namespace turgo
