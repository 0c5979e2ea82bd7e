// The kernel table of ISA "amx". This file exports one constant; everything else in it is internal.
#include "kernels/cpu/gemm_amx.h"

namespace turgo {

extern const KernelTable kAmxTable;

const KernelTable kAmxTable = amx::make_table<amx::HardwareTiles>("amx");

}  // namespace turgo
