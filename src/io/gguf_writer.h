// Writes GGUF v3 files, little endian. GgufHeader serialises metadata and tensor infos; GgufWriter streams
// the data of the declared tensors behind it and makes the file appear atomically.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/tensor.h"
#include "io/atomic_file.h"
#include "io/model_file.h"

namespace turgo {

class GgufHeader {
 public:
  explicit GgufHeader(
      uint32_t alignment = 32);  // a power of two; written as general.alignment if it is not 32

  // A key may be set once (CHECK).
  void set_u32(std::string_view key, uint32_t value);
  void set_i32(std::string_view key, int32_t value);
  void set_u64(std::string_view key, uint64_t value);
  void set_f32(std::string_view key, float value);
  void set_f64(std::string_view key, double value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_strings(std::string_view key, std::span<const std::string_view> values);
  void set_i32s(std::string_view key, std::span<const int32_t> values);
  void set_f32s(std::string_view key, std::span<const float> values);
  void set_array(std::string_view key, const RawArray& array);
  bool has(std::string_view key) const;

  // Copies what is not set yet from another GGUF model, without general.alignment and split.*. Integers
  // become u32, i32, u64 or i64 by their value, floats f32 if that loses nothing.
  void copy_metadata(const ModelFile& source);

  // Rows must be whole blocks; name 1…63 bytes; at most four dimensions of at least 1 (CHECK).
  void add_tensor(std::string_view name, DType dtype, const Shape& shape);

  struct Tensor {
    std::string name;
    uint64_t offset, size_bytes;  // into the data
  };
  const std::vector<Tensor>& tensors() const { return tensors_; }
  uint64_t data_bytes() const;  // with the padding behind the last tensor
  uint32_t alignment() const { return alignment_; }

  std::string bytes() const;  // up to the first byte of data

 private:
  void begin_key(std::string_view key, uint32_t type);

  uint32_t alignment_;
  uint64_t num_kv_ = 0, next_offset_ = 0;
  std::string kv_, infos_;
  std::vector<std::string> keys_;
  std::vector<Tensor> tensors_;
};

class GgufWriter {
 public:
  // Declare everything in `header` first; then write_tensor for each tensor in that order; then finish.
  // Throws as AtomicFile does; nothing appears at `path` unless finish() returned.
  GgufWriter(const std::string& path, const GgufHeader& header, std::span<const std::string> inputs = {});
  // The next tensor's bytes; a tensor may come in several pieces. Too many bytes are a CHECK.
  void write_tensor(std::span<const std::byte> bytes);
  void finish();  // CHECKs that every tensor is complete

 private:
  AtomicFile file_;
  std::vector<GgufHeader::Tensor> tensors_;
  uint32_t alignment_;
  size_t current_ = 0;
  uint64_t written_ = 0;  // of the current tensor
};

}  // namespace turgo
