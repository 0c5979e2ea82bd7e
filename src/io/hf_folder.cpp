#include "io/hf_folder.h"

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "core/error.h"
#include "io/json_file.h"
#include "io/packed_linear.h"
#include "io/safetensors_parse.h"

namespace fs = std::filesystem;

namespace turgo {
namespace {

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr size_t kMaxIndexBytes = size_t{32} << 20;  // the largest published one (91,991 tensors) has 9 MB
constexpr size_t kMaxShards = 10'000;

std::string in_folder(const std::string& folder, const std::string& name) {
  return (fs::path(folder) / name).string();
}

// A shard must be a plain name, so that an index can not reach outside its folder. Symbolic links inside it
// are the user's own (the Hugging Face cache is made of them) and are followed.
void check_shard_name(const std::string& name, const std::string& what) {
  bool ok = !name.empty() && name.size() <= 255 &&
            name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos &&
            name.ends_with(".safetensors");
  if (!ok)
    fail(ErrorCode::kCorrupt,
         "{}: weight_map: expected the name of a .safetensors file in the same folder, got {}", what,
         quote(name));
}

// shard file -> names of its tensors, from the index.
std::map<std::string, std::unordered_set<std::string>> read_index(const std::string& path) {
  std::string what = quote(path, 200);
  auto index = load_large_json_object(path, kMaxIndexBytes);
  auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object() || map->empty())
    fail(ErrorCode::kCorrupt, "{}: expected an object weight_map of tensor names and files", what);
  std::map<std::string, std::unordered_set<std::string>> shards;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string())
      fail(ErrorCode::kCorrupt, "{}: weight_map: expected a file name for {}, got {}", what, quote(tensor),
           file.type_name());
    const auto& name = file.get_ref<const std::string&>();
    if (!shards.contains(name)) check_shard_name(name, what);
    shards[name].insert(tensor);
    if (shards.size() > kMaxShards)
      fail(ErrorCode::kCorrupt, "{}: expected at most {} shards", what, kMaxShards);
  }
  return shards;
}

// Adds the tensors of one file; with `listed`, exactly those.
void add_file(const std::string& path, const std::unordered_set<std::string>* listed, ModelFileParts& parts) {
  parts.stamps.push_back(FileStamp::of(path));
  auto file = MappedFile::open(path);
  auto contents = parse_safetensors(file->bytes(), quote(path, 200));
  size_t found = 0;
  for (auto& t : contents.tensors) {
    if (listed && !listed->contains(t.name)) continue;
    ++found;
    parts.tensors.push_back(
        {std::move(t.name), t.dtype, t.shape, file->bytes().subspan(t.begin, t.size_bytes), file});
  }
  if (listed && found != listed->size()) {
    std::unordered_set<std::string> missing = *listed;
    for (const auto& t : parts.tensors) missing.erase(t.name);
    fail(ErrorCode::kCorrupt,
         "{}: expected the tensor {} that the index lists here; is the download complete?", quote(path, 200),
         quote(missing.empty() ? "" : *missing.begin()));
  }
  parts.header_bytes.push_back(contents.header_bytes);
  parts.files.push_back(std::move(file));
}

}  // namespace

bool has_safetensors(const std::string& folder) {
  // symlink_status: a dangling link must end in "no such file", not in "no safetensors here".
  std::error_code e;
  return fs::exists(fs::symlink_status(in_folder(folder, kSingle), e)) ||
         fs::exists(fs::symlink_status(in_folder(folder, kIndex), e));
}

ModelFileParts read_hf_folder(const std::string& folder) {
  ModelFileParts parts;
  parts.kind = ModelFile::Kind::kHuggingFace;
  parts.path = folder;
  parts.folder = folder;
  parts.metadata = std::make_unique<Json>(load_json_object(in_folder(folder, "config.json")));
  std::error_code e;
  if (fs::exists(fs::symlink_status(in_folder(folder, kSingle), e))) {
    add_file(in_folder(folder, kSingle), nullptr, parts);
  } else {
    for (const auto& [name, tensors] : read_index(in_folder(folder, kIndex)))
      add_file(in_folder(folder, name), &tensors, parts);
  }
  if (parts.tensors.empty())
    fail(ErrorCode::kCorrupt, "{}: expected a model, got safetensors without tensors", quote(folder, 200));
  join_packed_linears(parts);
  return parts;
}

}  // namespace turgo
