#include "kernels/common/finite_rows.h"

#include <cstddef>
#include <initializer_list>

#include "kernels/common/quant_blocks.h"

namespace turgo {
namespace {

// Elements whose exponent bits are all ones. No branch inside, so that it runs as wide as memory delivers;
// looked at again only if there is one.
template <class Bits, Bits kExponent>
int64_t find_plain(const std::byte* row, int64_t n) {
  constexpr int64_t kStride = 1024;
  for (int64_t begin = 0; begin < n; begin += kStride) {
    const int64_t end = begin + kStride < n ? begin + kStride : n;
    Bits bad = 0;
    for (int64_t i = begin; i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, row + i * static_cast<int64_t>(sizeof bits), sizeof bits);
      bad = static_cast<Bits>(bad | ((bits & kExponent) == kExponent));
    }
    if (!bad) continue;
    for (int64_t i = begin; i < end; ++i) {
      Bits bits;
      std::memcpy(&bits, row + i * static_cast<int64_t>(sizeof bits), sizeof bits);
      if ((bits & kExponent) == kExponent) return i;
    }
  }
  return -1;
}

bool not_finite(const std::byte* half) {
  uint16_t bits;
  std::memcpy(&bits, half, sizeof bits);
  return (bits & 0x7c00) == 0x7c00;
}

// `offsets`: of the block's f16 numbers.
template <class Block>
int64_t find_block(const std::byte* row, int64_t n, int64_t block_size,
                   std::initializer_list<size_t> offsets) {
  for (int64_t i = 0; i < n; i += block_size, row += sizeof(Block))
    for (size_t offset : offsets)
      if (not_finite(row + offset)) return i;
  return -1;
}

// An f32 scale may be finite and its products not.
int64_t find_w8(const std::byte* row, int64_t n) {
  for (int64_t i = 0; i < n; i += 64, row += sizeof(BlockW8)) {
    BlockW8 b;
    std::memcpy(&b, row, sizeof b);
    int largest = 1;  // a scale alone must be finite too
    for (int8_t q : b.qs) largest = largest < q ? q : largest < -q ? -q : largest;
    const float product = b.d * static_cast<float>(largest);
    if (find_plain<uint32_t, 0x7f800000>(reinterpret_cast<const std::byte*>(&product), 1) >= 0) return i;
  }
  return -1;
}

// As W8; a code may be NaN as well.
int64_t find_f8(const std::byte* row, int64_t n) {
  for (int64_t i = 0; i < n; i += 64, row += sizeof(BlockF8)) {
    BlockF8 b;
    std::memcpy(&b, row, sizeof b);
    uint8_t largest = to_e4m3(1).bits;  // a scale alone must be finite too
    for (e4m3 q : b.qs) largest = largest < (q.bits & 0x7f) ? q.bits & 0x7f : largest;
    const float product = b.d * to_f32(e4m3{largest});
    if (find_plain<uint32_t, 0x7f800000>(reinterpret_cast<const std::byte*>(&product), 1) >= 0) return i;
  }
  return -1;
}

}  // namespace

int64_t first_not_finite(DType dtype, const void* row, int64_t n) {
  const auto* bytes = static_cast<const std::byte*>(row);
  switch (dtype) {
    case DType::kF32:
      return find_plain<uint32_t, 0x7f800000>(bytes, n);
    case DType::kF16:
      return find_plain<uint16_t, 0x7c00>(bytes, n);
    case DType::kBF16:
      return find_plain<uint16_t, 0x7f80>(bytes, n);
    case DType::kQ4_0:
      return find_block<BlockQ4_0>(bytes, n, 32, {0});
    case DType::kQ4_1:
      return find_block<BlockQ4_1>(bytes, n, 32, {0, 2});
    case DType::kQ5_0:
      return find_block<BlockQ5_0>(bytes, n, 32, {0});
    case DType::kQ5_1:
      return find_block<BlockQ5_1>(bytes, n, 32, {0, 2});
    case DType::kQ8_0:
      return find_block<BlockQ8_0>(bytes, n, 32, {0});
    case DType::kQ2_K:
      return find_block<BlockQ2_K>(bytes, n, kSuper, {offsetof(BlockQ2_K, d), offsetof(BlockQ2_K, dmin)});
    case DType::kQ3_K:
      return find_block<BlockQ3_K>(bytes, n, kSuper, {offsetof(BlockQ3_K, d)});
    case DType::kQ4_K:
      return find_block<BlockQ4_K>(bytes, n, kSuper, {0, 2});
    case DType::kQ5_K:
      return find_block<BlockQ5_K>(bytes, n, kSuper, {0, 2});
    case DType::kQ6_K:
      return find_block<BlockQ6_K>(bytes, n, kSuper, {offsetof(BlockQ6_K, d)});
    case DType::kW4G32:
      return find_block<BlockW4<32>>(bytes, n, 32, {0, 2});
    case DType::kW4G64:
      return find_block<BlockW4<64>>(bytes, n, 64, {0, 2});
    case DType::kW4G128:
      return find_block<BlockW4<128>>(bytes, n, 128, {0, 2});
    case DType::kW3G32:
      return find_block<BlockW3>(bytes, n, 32, {0, 2});
    case DType::kW2G32:
      return find_block<BlockW2>(bytes, n, 32, {0, 2});
    case DType::kW8G64:
      return find_w8(bytes, n);
    case DType::kF8G64:
      return find_f8(bytes, n);
    case DType::kF8E4M3:
      for (int64_t i = 0; i < n; ++i)
        if ((static_cast<uint8_t>(bytes[i]) & 0x7f) == 0x7f) return i;
      return -1;
    case DType::kI32:
    case DType::kI64:
    case DType::kI8:
    case DType::kU8:
      return -1;
  }
  return -1;
}

}  // namespace turgo
