#include "io/safetensors_writer.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "io/safetensors_parse.h"

namespace turgo {

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::span<const std::string> inputs)
    : file_(path, inputs),
      metadata_(std::make_unique<nlohmann::ordered_json>(nlohmann::ordered_json::object())) {}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::set_metadata(std::string_view key, std::string_view value) {
  CHECK(!header_done_, "metadata {} after the header", quote(key));
  (*metadata_)[std::string(key)] = value;
}

void SafetensorsWriter::declare(std::string_view name, DType dtype, const Shape& shape) {
  const char* type = safetensors_dtype_name(dtype);
  CHECK(!header_done_ && type != nullptr && name != "__metadata__", "tensor {} of {}", quote(name),
        dtype_info(dtype).name);
  auto size = static_cast<uint64_t>(shape.numel() * dtype_info(dtype).block_bytes);
  std::vector<int64_t> dims(shape.dims.begin(), shape.dims.begin() + shape.rank);
  nlohmann::ordered_json entry = {
      {"dtype", type}, {"shape", dims}, {"data_offsets", {next_offset_, next_offset_ + size}}};
  // Appended as text: one ordered_json of a hundred thousand tensors would cost quadratic time.
  if (!entries_.empty()) entries_ += ',';
  entries_ += fmt::format("{}:{}", nlohmann::ordered_json(std::string(name)).dump(), entry.dump());
  sizes_.push_back(size);
  names_.emplace_back(name);
  next_offset_ += size;
}

void SafetensorsWriter::write_header() {
  std::string comment;
  if (!metadata_->empty())
    comment = fmt::format("\"__metadata__\":{}{}", metadata_->dump(), entries_.empty() ? "" : ",");
  std::string header = fmt::format("{{{}{}}}", comment, entries_);
  header.append((64 - (header.size() + 8) % 64) % 64, ' ');
  CHECK(header.size() <= kMaxSafetensorsHeader, "{} bytes of header", header.size());
  uint64_t n = header.size();
  file_.write(std::as_bytes(std::span(&n, 1)));
  file_.write(header);
  header_done_ = true;
  skip_empty();
}

void SafetensorsWriter::skip_empty() {
  while (current_ < sizes_.size() && sizes_[current_] == written_) {
    ++current_;
    written_ = 0;
  }
}

void SafetensorsWriter::write_tensor(std::span<const std::byte> bytes) {
  if (!header_done_) write_header();
  if (bytes.empty()) return;
  CHECK(current_ < sizes_.size(), "all {} tensors are written", sizes_.size());
  CHECK(bytes.size() <= sizes_[current_] - written_, "{}: {} + {} of {} bytes", names_[current_], written_,
        bytes.size(), sizes_[current_]);
  file_.write(bytes);
  written_ += bytes.size();
  skip_empty();
}

void SafetensorsWriter::finish() {
  if (!header_done_) write_header();
  CHECK_EQ(current_, sizes_.size());
  file_.commit();
}

}  // namespace turgo
