// NumPy's .npy files of little-endian f32 in C order, one or two dimensions: logits are [tokens, vocab_size].
// Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/mapped_file.h"
#include "io/atomic_file.h"

namespace turgo {

// Rows are appended one by one; their number is written at the end. The file appears atomically with
// finish().
class NpyWriter {
 public:
  NpyWriter(const std::string& path, int64_t num_cols);  // throws as AtomicFile does
  void write_rows(std::span<const float> rows);          // a whole number of rows (CHECK)
  void finish();

 private:
  AtomicFile file_;
  int64_t num_cols_;
};

// Maps a file. A 1-d array of n reads as n rows of one column.
class NpyReader {
 public:
  explicit NpyReader(const std::string& path);  // Error{kNotFound, kCorrupt, kUnsupported, kIo}
  int64_t num_rows() const { return num_rows_; }
  int64_t num_cols() const { return num_cols_; }
  std::span<const float> row(int64_t i) const;

 private:
  std::shared_ptr<const MappedFile> file_;
  const float* data_ = nullptr;  // aligned: the header is a multiple of 16 (checked)
  int64_t num_rows_ = 0, num_cols_ = 1;
};

}  // namespace turgo
