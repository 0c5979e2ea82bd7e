// A model's files without its weights, as an engine sends them and a server keeps them: a GGUF file that ends
// before its tensors, or the named JSON, Jinja and SentencePiece files of a folder.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace turgo {

// Calls `take` with the relative path and the bytes of each. Throws what open_model throws.
void each_model_file(const std::string& model_path,
                     const std::function<void(const std::string& path, const std::string& bytes)>& take);

// A private folder that removes itself.
class ModelFolder {
 public:
  ModelFolder();  // throws Error{kIo}
  ~ModelFolder();
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;

  // Begins a file. Only the names that each_model_file() gives are taken, at most 256 MiB in all: Error
  // {kCorrupt} otherwise.
  void begin(const std::string& path);
  void add(std::string_view bytes);
  std::string model_path() const;  // what open_model_without_weights() takes

 private:
  std::string folder_, current_;
  size_t num_bytes_ = 0;
};

}  // namespace turgo
