// The row and attention functions of a kernel table, for one vector type V: what an ISA's translation unit
// includes.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cpu/rows_elementwise.h"
#include "kernels/cpu/rows_kv_store.h"
