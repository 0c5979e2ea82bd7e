#include "io/npy.h"

#include <bit>
#include <charconv>
#include <cstring>

#include "core/error.h"

namespace turgo {
namespace {

constexpr size_t kHeaderBytes = 128;  // fixed, so that the number of rows can be filled in at the end
constexpr std::string_view kMagic("\x93NUMPY", 6);

std::string header_of(int64_t rows, int64_t cols) {
  std::string text =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  std::string out(kMagic);
  out += std::string("\x01\x00", 2);
  auto n = static_cast<uint16_t>(kHeaderBytes - 10);
  out.append(reinterpret_cast<const char*>(&n), 2);
  out += text;
  out.resize(kHeaderBytes - 1, ' ');
  return out + '\n';
}

// What follows "'key':" in the header's dictionary, without leading spaces; empty if the key is absent.
std::string_view value_of(std::string_view header, std::string_view key) {
  size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) return {};
  at = header.find_first_not_of(' ', at + key.size() + 3);
  return at == std::string_view::npos ? std::string_view{} : header.substr(at);
}

// Dimensions of "(3, 4)" or "(3,)"; -1 as rank if it is something else.
int parse_shape(std::string_view text, int64_t dims[2]) {
  int rank = 0;
  size_t at = text.starts_with('(') ? 1 : text.size();
  while (at < text.size()) {
    at = std::min(text.find_first_not_of(" ,", at), text.size());
    if (at == text.size()) return -1;
    if (text[at] == ')') return rank;
    int64_t value = 0;
    auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
    if (error != std::errc{} || rank == 2 || value < 0) return -1;
    dims[rank++] = value;
    at = static_cast<size_t>(end - text.data());
  }
  return -1;
}

}  // namespace

NpyWriter::NpyWriter(const std::string& path, int64_t num_cols) : file_(path), num_cols_(num_cols) {
  CHECK(num_cols > 0, "{} columns", num_cols);
  file_.write(header_of(0, num_cols));
}

void NpyWriter::write_rows(std::span<const float> rows) {
  CHECK(rows.size() % static_cast<size_t>(num_cols_) == 0, "{} values in rows of {}", rows.size(), num_cols_);
  file_.write(std::as_bytes(rows));
}

void NpyWriter::finish() {
  auto rows = static_cast<int64_t>((file_.size_bytes() - kHeaderBytes) / sizeof(float)) / num_cols_;
  std::string header = header_of(rows, num_cols_);
  file_.overwrite(0, std::as_bytes(std::span(header)));
  file_.commit();
}

NpyReader::NpyReader(const std::string& path) : file_(MappedFile::open(path)) {
  auto bytes = file_->bytes();
  std::string what = quote(path, 200);
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.size() < 12 || !text.starts_with(kMagic))
    fail(ErrorCode::kCorrupt, "{}: expected a NumPy .npy file, got {}", what, quote(text.substr(0, 6)));
  int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3)
    fail(ErrorCode::kUnsupported, "{}: expected .npy version 1 to 3, got {}", what, version);
  size_t length_bytes = version == 1 ? 2 : 4;
  uint32_t length = 0;
  std::memcpy(&length, text.data() + 8, length_bytes);
  size_t data = 8 + length_bytes + length;
  if (data > text.size()) fail(ErrorCode::kCorrupt, "{}: cut off: expected a header of {} bytes", what, data);
  auto header = text.substr(8 + length_bytes, length);
  int64_t dims[2] = {0, 1};
  if (!value_of(header, "descr").starts_with("'<f4'") ||
      !value_of(header, "fortran_order").starts_with("False") ||
      parse_shape(value_of(header, "shape"), dims) < 1 || data % 16 != 0)
    fail(ErrorCode::kUnsupported,
         "{}: expected little-endian f32 in C order with one or two dimensions, got {}", what,
         quote(header, 120));
  uint64_t available = (text.size() - data) / sizeof(float);
  auto rows = static_cast<uint64_t>(dims[0]), cols = static_cast<uint64_t>(dims[1]);
  if (cols == 0 || rows > available / cols || rows * cols * sizeof(float) != text.size() - data)
    fail(ErrorCode::kCorrupt, "{}: expected {} x {} values as the header says, got {} bytes; is it complete?",
         what, rows, cols, text.size() - data);
  data_ = reinterpret_cast<const float*>(bytes.data() + data);
  num_rows_ = dims[0];
  num_cols_ = dims[1];
}

std::span<const float> NpyReader::row(int64_t i) const {
  CHECK(i >= 0 && i < num_rows_, "row {} of {}", i, num_rows_);
  return {data_ + i * num_cols_, static_cast<size_t>(num_cols_)};
}

}  // namespace turgo
