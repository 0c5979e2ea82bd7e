// Sizes and offsets of KV pages, and the slow reader that tests compare against. Layouts: kv_block.h.
#include "kernels/common/kv_block.h"

#include <cstring>

#include "core/dtype.h"

namespace turgo {
namespace {

constexpr int64_t round_up(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

constexpr int64_t params_bytes(int64_t groups) {
  return groups * 2 * kKvBlockTokens * static_cast<int64_t>(sizeof(bf16));
}

bool has_nibble_v(KvType type) {
  return type == KvType::kI4 || type == KvType::kK8V4;
}

// Bytes of K and V without their params.
int64_t k_data_bytes(KvType type, int64_t head_dim) {
  switch (type) {
    case KvType::kF32:
      return head_dim * kKvBlockTokens * 4;
    case KvType::kBF16:
      return round_up(head_dim, 2) * kKvBlockTokens * 2;
    case KvType::kI8:
    case KvType::kK8V4:
      return round_up(head_dim, 4) * kKvBlockTokens;
    case KvType::kI4:
      return round_up(head_dim, 8) * kKvBlockTokens / 2;
  }
  return 0;
}

int64_t v_data_bytes(KvType type, int64_t columns) {
  switch (type) {
    case KvType::kF32:
      return columns * kKvBlockTokens * 4;
    case KvType::kBF16:
      return columns * kKvBlockTokens * 2;
    case KvType::kI8:
      return columns * kKvBlockTokens;
    case KvType::kI4:
    case KvType::kK8V4:
      return columns * kKvBlockTokens / 2;
  }
  return 0;
}

bool is_quantized(KvType type) {
  return type != KvType::kF32 && type != KvType::kBF16;
}

template <class T>
T load_as(const std::byte* p, int64_t index) {
  T value;
  std::memcpy(&value, p + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// zero + scale * u of one slot.
struct Params {
  float scale, zero;
  Params(const std::byte* params, int64_t groups, int64_t group, int64_t slot)
      : scale(to_f32(load_as<bf16>(params, group * kKvBlockTokens + slot))),
        zero(to_f32(load_as<bf16>(params, (groups + group) * kKvBlockTokens + slot))) {}
  float value(unsigned u) const { return zero + scale * static_cast<float>(u); }
};

unsigned nibble(std::byte byte, bool high) {
  return high ? std::to_integer<unsigned>(byte) >> 4 : std::to_integer<unsigned>(byte) & 15u;
}

float load_k(const KvGeometry& g, const std::byte* page, int64_t slot, int64_t d) {
  const auto byte_at = [&](int64_t group, int64_t b) {
    return page[(group * kKvBlockTokens + slot) * 4 + b];
  };
  switch (g.type) {
    case KvType::kF32:
      return load_as<float>(page, d * kKvBlockTokens + slot);
    case KvType::kBF16:
      return to_f32(load_as<bf16>(page, (d / 2 * kKvBlockTokens + slot) * 2 + d % 2));
    case KvType::kI8:
    case KvType::kK8V4:
      return Params(page + g.k_params_offset(), 1, 0, slot)
          .value(std::to_integer<unsigned>(byte_at(d / 4, d % 4)));
    case KvType::kI4:
      return Params(page + g.k_params_offset(), 1, 0, slot).value(nibble(byte_at(d / 8, d % 4), d % 8 >= 4));
  }
  return 0;
}

float load_v(const KvGeometry& g, const std::byte* page, int64_t slot, int64_t d) {
  const std::byte* v = page + g.k_bytes();
  const int64_t columns = g.v_columns();
  const auto params = [&](int64_t group) {
    return Params(page + g.v_params_offset(), g.v_groups(), group, slot);
  };
  switch (g.type) {
    case KvType::kF32:
      return load_as<float>(v, slot * columns + d);
    case KvType::kBF16:
      return to_f32(load_as<bf16>(v, (slot / 2 * columns + d) * 2 + slot % 2));
    case KvType::kI8:
      return params(0).value(std::to_integer<unsigned>(v[(slot / 4 * columns + d) * 4 + slot % 4]));
    case KvType::kI4:
    case KvType::kK8V4: {
      const std::byte byte = v[(slot / 4 * columns / 2 + d / 32 * 16 + d % 16) * 4 + slot % 4];
      return params(g.type == KvType::kI4 ? 0 : d / kKvValueGroup).value(nibble(byte, d % 32 >= 16));
    }
  }
  return 0;
}

}  // namespace

int64_t KvGeometry::v_columns() const {
  return round_up(head_dim, has_nibble_v(type) ? 32 : 16);
}

int64_t KvGeometry::v_groups() const {
  return type == KvType::kK8V4 ? v_columns() / kKvValueGroup : 1;
}

int64_t KvGeometry::k_params_offset() const {
  return k_data_bytes(type, head_dim);
}

int64_t KvGeometry::v_params_offset() const {
  return k_bytes() + v_data_bytes(type, v_columns());
}

int64_t KvGeometry::k_bytes() const {
  return k_data_bytes(type, head_dim) + (is_quantized(type) ? params_bytes(1) : 0);
}

int64_t KvGeometry::v_bytes() const {
  return v_data_bytes(type, v_columns()) + (is_quantized(type) ? params_bytes(v_groups()) : 0);
}

void load_kv_token(const KvGeometry& geometry, const std::byte* page, int64_t slot, float* k, float* v) {
  for (int64_t d = 0; d < geometry.head_dim; ++d) {
    k[d] = load_k(geometry, page, slot, d);
    v[d] = load_v(geometry, page, slot, d);
  }
}

}  // namespace turgo
