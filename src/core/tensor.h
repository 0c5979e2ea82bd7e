// Shapes and device-neutral views. A TensorView owns nothing; `data` may be host or device memory.
// Dimension words are Hugging Face's: num_layers, num_heads, num_kv_heads, head_dim, hidden_size,
// intermediate_size, vocab_size; a GEMM is m (tokens) x n (outputs) x k (inputs).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "core/dtype.h"
#include "core/error.h"

namespace turgo {

// At most four dimensions, outermost first (row-major): a weight is {n, k}, activations are {tokens,
// features}.
struct Shape {
  static constexpr int kMaxDims = 4;
  std::array<int64_t, kMaxDims> dims{};
  int rank = 0;

  Shape() = default;
  Shape(std::initializer_list<int64_t> list) {
    CHECK(list.size() <= kMaxDims, "rank {}", list.size());
    for (int64_t d : list) dims[rank++] = d;
  }
  int64_t operator[](int i) const { return dims[i]; }
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[i];
    return n;
  }
  bool operator==(const Shape& o) const {
    if (rank != o.rank) return false;
    for (int i = 0; i < rank; ++i)
      if (dims[i] != o.dims[i]) return false;
    return true;
  }
  std::string str() const {
    std::string s = "[";
    for (int i = 0; i < rank; ++i) s += (i ? ", " : "") + std::to_string(dims[i]);
    return s + "]";
  }
};

enum class Device : uint8_t { kCpu, kCuda };

struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  int64_t row_stride = 0;  // elements between rows of the innermost matrix; 0 = contiguous
  Device device = Device::kCpu;

  explicit operator bool() const { return data != nullptr; }
  int64_t stride() const { return row_stride ? row_stride : shape[shape.rank - 1]; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

// The f32 matrix that activations are: {rows, cols}, contiguous unless a row stride is given.
inline TensorView f32_matrix(float* data, int64_t rows, int64_t cols, int64_t row_stride = 0) {
  return {data, DType::kF32, Shape{rows, cols}, row_stride, Device::kCpu};
}

}  // namespace turgo
