// Where a compression in progress lives: DIR.partial beside DIR. Each solved layer is a file of its own
// there, and the hidden states where the next one begins are kept, so that a run that was killed goes on
// where it was. DIR appears whole, by one rename, or not at all. The source is never written.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compress/layer_runner.h"
#include "compress/packed_formats.h"
#include "core/json.h"

namespace turgo {

// Throws Error{kInvalidArgument} if `target` exists and `force` is not set, or if it is the source or holds
// it, also by way of links; Error{kNotFound} if it has no parent.
void check_target(const std::string& target, const std::string& source, bool force);

class WorkFolder {
 public:
  // `target`: the folder or file that will appear. `identity`: everything that decides the result (recipe,
  // source's fingerprint, calibration ids); a partial folder with another identity is started afresh. Throws
  // as check_target() does, Error{kInvalidArgument} if another run is at work there, Error{kIo,
  // kResourceExhausted}.
  WorkFolder(std::string target, const std::string& source, bool force, Json identity);

  ~WorkFolder();
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;

  int num_done() const { return static_cast<int>(reports_.size()); }  // layers
  const std::vector<Json>& reports() const { return reports_; }  // of the layers done, for the final report
  // The states where layer num_done() begins; false if they were not kept.
  bool load_states(HiddenStates& states) const;

  // `states` may be null (methods without calibration).
  void save_layer(std::span<const OutputTensor> tensors, Json report, const HiddenStates* states);
  // The tensors of a saved layer, in order.
  void for_each_tensor(int layer, const std::function<void(const RawTensor&)>& f) const;

  // `write` makes the result at the path that it is given; then it takes the target's place and the partial
  // folder goes.
  void finish(const std::function<void(const std::string& path)>& write);

 private:
  std::string layer_path(int layer) const;
  void save_progress() const;
  void lock();

  std::string target_, folder_;
  bool force_;
  int lock_ = -1;
  Json identity_;
  std::vector<Json> reports_;
};

}  // namespace turgo
