#include "serve/grpc/model_files.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "io/gguf_writer.h"
#include "io/json_file.h"

namespace turgo {

namespace fs = std::filesystem;

namespace {

constexpr const char* kGguf = "model.gguf";
constexpr const char* kFolderFiles[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer.model",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "chat_template.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "modules.json",
                                        "1_Pooling/config.json"};
constexpr size_t kMaxBytes = size_t{256} << 20;

}  // namespace

void each_model_file(const std::string& model_path,
                     const std::function<void(const std::string&, const std::string&)>& take) {
  std::shared_ptr<const ModelFile> file = open_model(model_path);
  if (file->kind() == ModelFile::Kind::kGguf) {
    GgufHeader header;
    header.copy_metadata(*file);
    return take(kGguf, header.bytes());
  }
  for (const char* name : kFolderFiles) {
    fs::path path = fs::path(file->folder()) / name;
    std::error_code wrong;
    if (fs::exists(path, wrong)) take(name, read_text_file(path.string(), kMaxBytes));
  }
}

ModelFolder::ModelFolder() {
  std::string name = (fs::temp_directory_path() / "turgo-engine-XXXXXX").string();
  if (!mkdtemp(name.data())) fail(ErrorCode::kIo, "can not make a folder {}", quote(name, 200));
  folder_ = name;
}

ModelFolder::~ModelFolder() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void ModelFolder::begin(const std::string& path) {
  bool is_known = path == kGguf;
  for (const char* name : kFolderFiles) is_known = is_known || path == name;
  if (!is_known) fail(ErrorCode::kCorrupt, "expected one of a model's files, got {}", quote(path));
  current_ = (fs::path(folder_) / path).string();
  fs::create_directories(fs::path(current_).parent_path());
  std::ofstream(current_, std::ios::binary | std::ios::trunc);
}

void ModelFolder::add(std::string_view bytes) {
  num_bytes_ += bytes.size();
  if (current_.empty() || num_bytes_ > kMaxBytes)
    fail(ErrorCode::kCorrupt, "expected a model's files of at most {} bytes", kMaxBytes);
  std::ofstream out(current_, std::ios::binary | std::ios::app);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) fail(ErrorCode::kIo, "can not write {}; is the disk full?", quote(current_, 200));
}

std::string ModelFolder::model_path() const {
  std::string gguf = (fs::path(folder_) / kGguf).string();
  std::error_code wrong;
  return fs::exists(gguf, wrong) ? gguf : folder_;
}

}  // namespace turgo
