// The access log: one JSON object per line and request, in a file that may be renamed under it (SIGHUP opens
// it again). Names follow OpenTelemetry's where it has one. Prompts, answers and keys are never in it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/http/http_log.h"
#include "serve/observe/background_batch.h"

namespace turgo {

class AccessLog {
 public:
  explicit AccessLog(std::string path);  // "-": stderr. Throws Error{kIo}.

  // Does not block. `route` is the pattern that the path matched.
  void write(const HttpLogEntry& entry, const std::string& route);
  void reopen();  // throws Error{kIo} and then goes on with the file it has
  int64_t num_dropped() const { return lines_.num_dropped(); }

 private:
  struct File {
    explicit File(const std::string& path);
    ~File();
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    int fd;
  };
  void put(const std::vector<std::string>& lines);

  std::string path_;
  std::mutex mutex_;  // guards file_
  std::unique_ptr<File> file_;
  BackgroundBatch<std::string> lines_;
};

std::string access_line(const HttpLogEntry& entry, const std::string& route);  // with its line feed

}  // namespace turgo
