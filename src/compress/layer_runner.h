// Runs one layer over calibration samples in f32: the layer's matrices are packed as they stand, so that a
// layer may be run before and after it was compressed. Hidden states of all samples stay in memory between
// layers (tokens x hidden_size x 4 bytes); a layer is resident twice while it runs.
#pragma once

#include <memory>
#include <vector>

#include "compress/observing_executor.h"
#include "compress/source_model.h"
#include "compress/team_math.h"
#include "models/decoder.h"

namespace turgo {

// The samples as a layer sees them: rows of sample i are [offsets[i], offsets[i + 1]).
struct HiddenStates {
  int64_t hidden_size = 0;
  std::vector<int64_t> offsets;  // [num_samples + 1]
  std::vector<float> rows;

  int64_t num_samples() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t num_tokens() const { return offsets.back(); }
};

HiddenStates embed_samples(const SourceModel& model, const std::vector<std::vector<int32_t>>& samples);

// Layers of a model over samples, one after the other, in f32. Room for the longest of `samples`.
class SampleRunner {
 public:
  // `watcher` may be empty.
  SampleRunner(const DecoderConfig& config, DecoderWeights weights, const TeamMath& math,
               const InputWatcher& watcher, const HiddenStates& samples);
  // Replaces the states in front of layer `begin` by those in front of layer `end`.
  void run(int begin, int end, HiddenStates& states);
  // Of rows [begin, begin + count) behind the last layer: out [count][vocab_size].
  void logits(const HiddenStates& states, int64_t begin, int64_t count, float* out);

 private:
  std::shared_ptr<Executor> executor_;
  Decoder decoder_;
  std::vector<int32_t> blocks_, positions_;
  std::vector<std::shared_ptr<void>> memory_;
  std::vector<std::byte*> pools_;
};

class LayerRunner {
 public:
  LayerRunner(const DecoderConfig& config, const TeamMath& math) : config_(config), math_(math) {}
  // Replaces the states by what the layer makes of them. `watcher` may be empty.
  void run(const SourceLayer& layer, HiddenStates& states, const InputWatcher& watcher) const;

 private:
  const DecoderConfig& config_;
  const TeamMath& math_;
};

}  // namespace turgo
