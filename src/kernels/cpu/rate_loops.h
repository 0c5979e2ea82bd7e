// The arithmetic and the reads that kernels can not beat, as loops for one thread: what shares of the limits
// are shares of. The caller takes the time, and calls them on as many threads as the kernels use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace turgo {

// Which product: u8 x s8 to int32, bf16 pairs to f32, f32 multiply-add. An ISA without an instruction for it
// counts what its kernels use instead (AVX2: vpmaddubsw with 16-bit sums, f32 for bf16).
enum class RateKind : uint8_t { kInt8, kBF16, kF32 };

// Runs `rounds` rounds of independent chains in registers; returns the operations done (a multiply-add is
// two). `isa` is a KernelTable's name that this CPU can run; 0 for "scalar" and for unknown names.
double run_rate_loop(const char* isa, RateKind kind, int64_t rounds);

// Reads [data, data + bytes), bytes a multiple of 256, 64-byte aligned, with the ISA's widest loads and 8 KB
// of prefetch. Returns a sum, so that no read is left out.
int64_t read_all(const char* isa, const std::byte* data, int64_t bytes);

}  // namespace turgo
