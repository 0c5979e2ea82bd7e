// A small file that always holds a whole state: written beside its place, synced and renamed, on a thread of
// its own. A disk that is full or slow holds nobody up; what could not be written is told and tried again.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace turgo {

class StateFile {
 public:
  explicit StateFile(std::string path) : path_(std::move(path)) {}  // "" = nothing is kept
  ~StateFile() { finish(); }

  const std::string& path() const { return path_; }
  // The file's text, "" if there is none yet. Throws Error{kIo}.
  std::string read() const;
  // Writes the youngest of what it is given; `done` hears on this object's thread what went wrong, "" =
  // nothing.
  using Done = std::function<void(const std::string& error)>;
  void write(std::string text, Done done);
  void finish();  // waits for what was given to write(), which nobody may call after this
  // On the calling thread. Throws Error in one line.
  void write_now(const std::string& text) const;

 private:
  void work();

  std::string path_, text_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Done> waiting_;
  bool has_text_ = false, stops_ = false;
  std::thread thread_;  // begun with the first write
};

// Where a service keeps its state: $STATE_DIRECTORY (systemd), $XDG_STATE_HOME/turgo or ~/.local/state/turgo;
// "" if none is set.
std::string state_folder();

}  // namespace turgo
