// An executor that lets a watcher see the input rows of every linear of a layer before the verb runs inside
// another executor. It changes no bit of what that computes.
#pragma once

#include <functional>
#include <memory>

#include "ops/executor.h"

namespace turgo {

// The distinct inputs of a layer's linears: q, k, v share one, gate and up another.
enum class LinearInput : uint8_t { kQkv, kO, kGateUp, kDown };
inline constexpr int kNumLinearInputs = 4;

// x: {rows, k} f32, contiguous, valid during the call only; norms are applied.
using InputWatcher = std::function<void(LinearInput input, TensorView x)>;

// The last letters of LinearWeight::name ("…o_proj", "…down_proj") tell the two projections apart.
std::shared_ptr<Executor> make_observing_executor(std::shared_ptr<Executor> inner, InputWatcher watcher);

}  // namespace turgo
