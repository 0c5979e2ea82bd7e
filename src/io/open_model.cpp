// Decides what a path is: a GGUF file, a folder with one GGUF (or one split), or a Hugging Face folder.
#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/json.h"
#include "io/gguf_reader.h"
#include "io/hf_folder.h"
#include "io/json_file.h"
#include "io/model_file.h"

namespace fs = std::filesystem;

namespace turgo {
namespace {

// Names in the folder, sorted; at most 10,000 are looked at.
std::vector<std::string> list_folder(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code e;
  fs::directory_iterator it(folder, e), end;
  for (; !e && it != end && names.size() < 10'000; it.increment(e))
    names.push_back(it->path().filename().string());
  if (e) fail(ErrorCode::kIo, "cannot list {}: {}", quote(folder, 200), e.message());
  std::sort(names.begin(), names.end());
  return names;
}

bool ends_with_any(const std::string& name, std::initializer_list<const char*> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(), [&](const char* s) { return name.ends_with(s); });
}

ModelFileParts read_folder(const std::string& folder) {
  if (has_safetensors(folder)) return read_hf_folder(folder);
  std::vector<std::string> models;  // one entry per GGUF model: a file, or the first shard of a split
  bool pickle = false, config = false;
  for (const auto& name : list_folder(folder)) {
    pickle |= ends_with_any(name, {".bin", ".pt", ".pth", ".ckpt", ".pkl"});
    config |= name == "config.json";
    if (!name.ends_with(".gguf") || name.find("mmproj") != std::string::npos) continue;
    auto shard = parse_shard_name((fs::path(folder) / name).string());
    if (!shard || shard->number == 1) models.push_back(name);
  }
  if (models.size() == 1) {
    auto parts = read_gguf((fs::path(folder) / models[0]).string());
    parts.path = folder;
    return parts;
  }
  std::string where = quote(folder, 200);
  if (models.size() > 1)
    fail(ErrorCode::kInvalidArgument, "{}: holds {} GGUF models; give the path of one, e.g. {}", where,
         models.size(), quote(models[0]));
  if (pickle)
    fail(ErrorCode::kUnsupported,
         "{}: holds only pickled weights (.bin, .pt); a pickle is code and is never opened: convert it to "
         "safetensors",
         where);
  if (config)
    fail(ErrorCode::kNotFound,
         "{}: has config.json but neither model.safetensors nor model.safetensors.index.json; is the "
         "download complete?",
         where);
  fail(ErrorCode::kNotFound,
       "{}: expected config.json with safetensors, or a .gguf file in this folder, found neither", where);
}

}  // namespace

std::shared_ptr<const ModelFile> open_model(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos)
    fail(ErrorCode::kInvalidArgument, "expected the path of a model, got {}", quote(path, 200));
  std::error_code e;
  auto status = fs::status(path, e);
  if (status.type() == fs::file_type::not_found)
    fail(ErrorCode::kNotFound, "{}: no such file or folder; expected a .gguf file or a model folder",
         quote(path, 200));
  if (e) fail(ErrorCode::kIo, "cannot open {}: {}", quote(path, 200), e.message());
  if (fs::is_directory(status)) return std::make_shared<const ModelFile>(read_folder(path));
  if (!fs::is_regular_file(status))
    fail(ErrorCode::kInvalidArgument, "{}: expected a regular file or a folder, got a device, pipe or socket",
         quote(path, 200));
  if (path.ends_with(".safetensors"))
    fail(ErrorCode::kInvalidArgument,
         "{}: expected the folder that holds config.json beside it, or a .gguf file", quote(path, 200));
  if (ends_with_any(path, {".bin", ".pt", ".pth", ".ckpt", ".pkl"}))
    fail(ErrorCode::kUnsupported, "{}: a pickle is code and is never opened; convert it to safetensors",
         quote(path, 200));
  return std::make_shared<const ModelFile>(read_gguf(path));
}

std::shared_ptr<const ModelFile> open_model_without_weights(const std::string& path) {
  std::error_code e;
  if (!fs::is_directory(path, e))
    return std::make_shared<const ModelFile>(read_gguf(path, /*needs_tensors=*/false));
  ModelFileParts parts;
  parts.kind = ModelFile::Kind::kHuggingFace;
  parts.path = parts.folder = path;
  parts.metadata = std::make_unique<Json>(load_json_object((fs::path(path) / "config.json").string()));
  return std::make_shared<const ModelFile>(std::move(parts));
}

}  // namespace turgo
