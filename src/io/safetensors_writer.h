// Writes safetensors files atomically: declare every tensor, then stream their data in that order. The header
// is padded with spaces so that the data begins at a multiple of 64.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "core/tensor.h"
#include "io/atomic_file.h"

namespace turgo {

class SafetensorsWriter {
 public:
  // Throws as AtomicFile does; nothing appears at `path` unless finish() returned.
  explicit SafetensorsWriter(const std::string& path, std::span<const std::string> inputs = {});
  ~SafetensorsWriter();

  void set_metadata(std::string_view key, std::string_view value);
  // Unique names; a dtype that the format has (no block types): CHECK.
  void declare(std::string_view name, DType dtype, const Shape& shape);
  // The next declared tensor's bytes, possibly in pieces. The first call ends the declarations.
  void write_tensor(std::span<const std::byte> bytes);
  void finish();  // CHECKs that every tensor is complete

 private:
  void write_header();
  void skip_empty();

  AtomicFile file_;
  std::unique_ptr<nlohmann::ordered_json> metadata_;
  std::string entries_;  // the header's JSON so far, without the outer braces
  std::vector<uint64_t> sizes_;
  std::vector<std::string> names_;
  uint64_t next_offset_ = 0, written_ = 0;
  size_t current_ = 0;
  bool header_done_ = false;
};

}  // namespace turgo
