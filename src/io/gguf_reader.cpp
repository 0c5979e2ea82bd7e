#include "io/gguf_reader.h"

#include <filesystem>

#include "core/error.h"
#include "core/json.h"
#include "io/gguf_parse.h"

namespace turgo {
namespace {

constexpr int kMaxShards = 99'999;  // five digits in the name

// Maps one file and adds its tensors; the metadata is handed back.
GgufContents add_file(const std::string& path, ModelFileParts& parts) {
  parts.stamps.push_back(FileStamp::of(path));
  auto file = MappedFile::open(path);
  auto contents = parse_gguf(file->bytes(), quote(path, 200));
  for (auto& t : contents.tensors)
    parts.tensors.push_back(
        {std::move(t.name), t.dtype, t.shape, file->bytes().subspan(t.begin, t.size_bytes), file});
  parts.header_bytes.push_back(contents.header_bytes);
  parts.files.push_back(std::move(file));
  return contents;
}

int64_t split_count(const GgufContents& contents) {
  auto it = contents.metadata->find("split.count");
  return it != contents.metadata->end() && it->is_number_integer() ? it->get<int64_t>() : 0;
}

void add_other_shards(const GgufShardName& shard, ModelFileParts& parts) {
  for (int i = 2; i <= shard.count; ++i) {
    std::string path = fmt::format("{}-{:05}-of-{:05}.gguf", shard.prefix, i, shard.count);
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored))
      fail(ErrorCode::kNotFound, "{}: shard {} of {} is missing; expected all shards in one folder",
           quote(path, 200), i, shard.count);
    add_file(path, parts);
  }
}

}  // namespace

std::optional<GgufShardName> parse_shard_name(const std::string& path) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";  // 0 stands for a digit
  if (path.size() <= kPattern.size()) return std::nullopt;
  std::string_view tail = std::string_view(path).substr(path.size() - kPattern.size());
  for (size_t i = 0; i < kPattern.size(); ++i) {
    bool ok = kPattern[i] == '0' ? tail[i] >= '0' && tail[i] <= '9' : tail[i] == kPattern[i];
    if (!ok) return std::nullopt;
  }
  GgufShardName shard{path.substr(0, path.size() - kPattern.size()),
                      std::stoi(std::string(tail.substr(1, 5))), std::stoi(std::string(tail.substr(10, 5)))};
  if (shard.number < 1 || shard.number > shard.count || shard.count > kMaxShards) return std::nullopt;
  return shard;
}

ModelFileParts read_gguf(const std::string& path, bool needs_tensors) {
  ModelFileParts parts;
  parts.kind = ModelFile::Kind::kGguf;
  parts.path = path;
  parts.folder = std::filesystem::path(path).parent_path().string();
  if (parts.folder.empty()) parts.folder = std::string(1, '.');  // g++ 12 warns of an overlap for "."
  auto shard = parse_shard_name(path);
  std::string first = shard ? fmt::format("{}-{:05}-of-{:05}.gguf", shard->prefix, 1, shard->count) : path;
  auto contents = add_file(first, parts);
  int64_t count = split_count(contents);
  if (shard && shard->count > 1) {
    if (count != shard->count)
      fail(ErrorCode::kCorrupt, "{}: expected split.count {} as in the file's name, got {}",
           quote(first, 200), shard->count, count);
    add_other_shards(*shard, parts);
  } else if (count > 1) {
    fail(ErrorCode::kNotFound,
         "{}: one of {} shards; expected a name like model-00001-of-{:05}.gguf beside the others",
         quote(first, 200), count, count);
  }
  if (auto it = contents.metadata->find("split.tensors.count"); it != contents.metadata->end() && count > 1)
    if (it->is_number_integer() && it->get<int64_t>() != static_cast<int64_t>(parts.tensors.size()))
      fail(ErrorCode::kCorrupt, "{}: expected {} tensors in all shards, got {}", quote(first, 200),
           it->get<int64_t>(), parts.tensors.size());
  if (needs_tensors && parts.tensors.empty())
    fail(ErrorCode::kCorrupt, "{}: expected a model, got a GGUF file without tensors", quote(path, 200));
  parts.metadata = std::move(contents.metadata);
  parts.arrays = std::move(contents.arrays);
  return parts;
}

}  // namespace turgo
