// What every reader yields: named raw tensors plus metadata, whatever the container was. Invariants of a
// ModelFile: every tensor's bytes lie inside a mapped file and are exactly numel elements of its dtype (or it
// has a RowReader), rows are whole blocks, names are unique, and nothing was copied. It is immutable and safe
// to share between threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/dtype.h"
#include "core/mapped_file.h"
#include "core/tensor.h"
#include "io/file_stamp.h"

namespace turgo {

using Json = nlohmann::ordered_json;

// Makes the rows of a weight that lies in several tensors (io/packed_linear.h).
class RowReader {
 public:
  virtual ~RowReader() = default;
  // Rows [begin, begin + count), each row_bytes(dtype, k) bytes. Any thread may call it.
  virtual void read(int64_t begin, int64_t count, std::byte* out) const = 0;
  // Empty, or [k]: column j of these rows multiplies element order[j] of the input.
  virtual std::span<const int32_t> column_order() const { return {}; }
};

// One weight as stored. `shape` is row-major, outermost first (a linear weight is {n, k}; GGUF's ne
// reversed); rank 0 is a scalar. `bytes` may be unaligned for its dtype (safetensors allows it): read through
// memcpy.
struct RawTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const MappedFile> file;  // keeps the map alive; file->drop() after packing
  // If set, it makes the rows; `bytes` are then those of the largest part, to be counted and dropped only.
  std::shared_ptr<const RowReader> reader = nullptr;
};

// A GGUF metadata array as it lies in the file; element types by GGUF's numbers (io/gguf_parse.h).
struct RawArray {
  uint32_t type = 0;
  uint64_t count = 0;
  std::span<const std::byte> bytes;
};

struct ModelFileParts;

class ModelFile {
 public:
  enum class Kind { kGguf, kHuggingFace };

  explicit ModelFile(
      ModelFileParts parts);  // used by the readers; throws Error{kCorrupt} on a duplicate tensor name
  ~ModelFile();
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;

  Kind kind() const { return kind_; }
  const std::string& path() const { return path_; }  // as given by the user
  const std::string& folder() const {
    return folder_;
  }  // where companions are looked for: "" never, "." possible
  uint64_t total_bytes() const;  // of all mapped files
  // What a folder's linears are quantised by: "awq", "gptq", "compressed-tensors", "smooth_quant", "fp8"
  // or "".
  const std::string& quantization() const { return quantization_; }

  std::span<const RawTensor> tensors() const { return tensors_; }
  const RawTensor* find(std::string_view name) const;  // nullptr if absent
  const RawTensor& get(std::string_view name) const;   // Error{kCorrupt} that names the tensor if absent

  // GGUF: every key/value but the arrays of more than 4,096 elements (tokens, scores, merges). HF:
  // config.json.
  const Json& metadata() const { return *metadata_; }
  bool has(std::string_view key) const;
  const std::map<std::string, RawArray, std::less<>>& raw_arrays() const {
    return arrays_;
  }  // GGUF: all arrays

  // Typed metadata; `key` is a top-level key. find_* gives nullopt where the key is absent (or null); get_*
  // throws Error{kCorrupt} there. Both throw Error{kCorrupt} that names file, key, expectation and value for
  // a wrong type, a number out of [min, max], or a float that is not finite. Any integer type counts as an
  // integer.
  std::optional<int64_t> find_int(std::string_view key, int64_t min = INT64_MIN,
                                  int64_t max = INT64_MAX) const;
  int64_t get_int(std::string_view key, int64_t min = INT64_MIN, int64_t max = INT64_MAX) const;
  std::optional<uint32_t> find_u32(std::string_view key) const;
  uint32_t get_u32(std::string_view key) const;
  std::optional<float> find_f32(std::string_view key) const;  // integers count as floats
  float get_f32(std::string_view key) const;
  std::optional<bool> find_bool(std::string_view key) const;
  bool get_bool(std::string_view key) const;
  std::optional<std::string> find_string(std::string_view key) const;
  std::string get_string(std::string_view key) const;

  // Arrays of any size. Views point into the map and live as long as this object. An absent key gives an
  // empty vector; a wrong element type throws Error{kCorrupt}.
  std::vector<std::string_view> get_string_array(std::string_view key) const;
  std::vector<float> get_f32_array(std::string_view key) const;
  std::vector<int32_t> get_i32_array(std::string_view key) const;
  std::vector<bool> get_bool_array(std::string_view key) const;

  // A cheap identity of the content: sizes, headers and 16 samples of the data of every file. Two models that
  // differ only in a few weights may share it; it tags caches and session files, it is no checksum.
  uint64_t fingerprint() const { return fingerprint_; }

  // Throws Error{kIo} if a mapped file was truncated or rewritten in place since it was opened. Call it right
  // before and after the weights are read: what a file loses between the two reads as zeros.
  void check_unchanged() const;

 private:
  const Json* value(std::string_view key) const;

  Kind kind_;
  std::string path_, folder_, quantization_;
  std::vector<RawTensor> tensors_;
  std::unordered_map<std::string_view, size_t> index_;  // views into tensors_[i].name
  std::unique_ptr<const Json> metadata_;
  std::unordered_map<std::string_view, const Json*> keys_;
  std::map<std::string, RawArray, std::less<>> arrays_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<FileStamp> stamps_;
  uint64_t fingerprint_ = 0;
};

struct ModelFileParts {
  ModelFile::Kind kind = ModelFile::Kind::kGguf;
  std::string path, folder, quantization;
  std::vector<RawTensor> tensors;
  std::unique_ptr<const Json> metadata;
  std::map<std::string, RawArray, std::less<>> arrays;
  std::vector<std::shared_ptr<const MappedFile>> files;
  std::vector<FileStamp> stamps;     // one per file
  std::vector<size_t> header_bytes;  // one per file: what the fingerprint reads whole
};

// `path`: a .gguf file; any shard (or the folder) of a split GGUF "-00001-of-000NN"; a folder with
// config.json and safetensors, which wins over .gguf files beside it; a folder with one .gguf. Symbolic links
// are followed. Throws Error{kNotFound, kCorrupt, kUnsupported, kIo, kInvalidArgument}.
std::shared_ptr<const ModelFile> open_model(const std::string& path);

// Its tokenizer, template and configuration: a GGUF file may be without tensors, a folder with config.json
// without safetensors (none of them is opened).
std::shared_ptr<const ModelFile> open_model_without_weights(const std::string& path);

}  // namespace turgo
