// One block of a quantised file type taken apart into plain numbers, and put together again. split and join
// are exact inverses for every byte pattern: the formats have no spare bits. Only packing and slow paths use
// it.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace turgo {

struct RawBlock {
  uint32_t scale = 0;        // f16 bits: d; f32 bits of W8 and F8
  uint16_t min = 0;          // f16 bits: m, dmin of the K types, zero point; 0 where the type has none
  uint8_t sub_scales[16]{};  // K types: per 32 k (Q4_K, Q5_K: 8 used) or per 16 k, as stored, unsigned;
                             // Q6_K: int8 bits; Q3_K: 6 bits, 32 means 0
  uint8_t sub_mins[16]{};    // Q2_K, Q4_K, Q5_K
  uint8_t quants[256]{};     // unsigned, offset not yet subtracted; Q8_0, W8: int8 + 128; F8: e4m3
};

// `block` holds dtype_info(dtype).block_bytes bytes of a quantised type.
void split_block(DType dtype, const void* block, RawBlock& raw);
void join_block(DType dtype, const RawBlock& raw, void* block);

}  // namespace turgo
