// Which kernel table this CPU runs: on x86 CPUID says what the core has, XGETBV what the system saves; on Arm
// Linux says both.
#include <cstdlib>
#include <cstring>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/self_check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace turgo {

extern const KernelTable kScalarTable;
#if defined(__x86_64__)
extern const KernelTable kAvx2Table, kAvxVnniTable, kAvx512Table, kAmxTable;
#elif defined(__aarch64__)
extern const KernelTable kNeonTable;
#endif

namespace {

#if defined(__x86_64__)
struct CpuFeatures {
  bool avx2 = false;     // with FMA, F16C and BMI2: the x86-64-v3 level
  bool avxvnni = false;  // AVX2 and the VEX form of VNNI
  bool avx512 = false;   // F, BW, VL, DQ, CD, VNNI and BF16
  bool amx = false;      // avx512 with tiles of int8 and bf16, which Linux must still permit
};

// What the operating system saves at a context switch, as the bits of XCR0.
uint64_t saved_state() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

CpuFeatures detect() {
  CpuFeatures f;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  auto bit = [](uint32_t word, int i) { return ((word >> i) & 1) != 0; };
  bool osxsave = bit(c, 27), fma = bit(c, 12), f16c = bit(c, 29), movbe = bit(c, 22);
  if (!osxsave) return f;
  uint64_t state = saved_state();
  bool ymm = (state & 0x6) == 0x6, zmm = (state & 0xe6) == 0xe6, tiles = (state & 0x60000) == 0x60000;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return f;
  bool lzcnt = false;
  uint32_t leaf7_b = b, leaf7_c = c, leaf7_d = d;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) lzcnt = bit(c, 5);
  f.avx2 = ymm && fma && f16c && movbe && lzcnt && bit(leaf7_b, 3) && bit(leaf7_b, 5) && bit(leaf7_b, 8);
  bool vnni_vex = false, bf16 = false;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) {
    vnni_vex = bit(a, 4);
    bf16 = bit(a, 5);
  }
  f.avxvnni = f.avx2 && vnni_vex;
  bool base512 =
      bit(leaf7_b, 16) && bit(leaf7_b, 17) && bit(leaf7_b, 28) && bit(leaf7_b, 30) && bit(leaf7_b, 31);
  f.avx512 = f.avx2 && zmm && base512 && bit(leaf7_c, 11) && bf16;
  f.amx = f.avx512 && tiles && bit(leaf7_d, 22) && bit(leaf7_d, 24) && bit(leaf7_d, 25);
  return f;
}

// The 8 KB of tile registers are saved for processes that asked (Linux 5.16); true for all threads from now
// on.
bool permit_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

struct UsableTables {
  const KernelTable* tables[8] = {};
  int count = 0;
  const char* warning = nullptr;

  UsableTables() {
    add(kScalarTable);
#if defined(__x86_64__)
    CpuFeatures f = detect();
    if (f.avx2) add(kAvx2Table);
    if (f.avxvnni) add(kAvxVnniTable);
    if (f.avx512) add(kAvx512Table);
    if (f.amx && permit_tiles()) {
      if (multiplies_alike(kAmxTable, kScalarTable)) {
        add(kAmxTable);
      } else {
        warning = "the AMX unit of this CPU gives other sums than plain arithmetic; running avx512 kernels";
      }
    }
#elif defined(__aarch64__)
    if ((::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) add(kNeonTable);
#endif
  }
  void add(const KernelTable& t) { tables[count++] = &t; }
};

const UsableTables& usable() {
  static const UsableTables instance;
  return instance;
}

}  // namespace

const KernelTable* const* usable_kernel_tables() {
  return usable().tables;
}

const char* kernel_warning() {
  return usable().warning;
}

const KernelTable* select_kernels(const char* requested) {
  const UsableTables& u = usable();
  const char* name = requested ? requested : std::getenv("TURGO_ISA");
  if (!name || !*name) return u.tables[u.count - 1];
  for (int i = 0; i < u.count; ++i) {
    if (std::strcmp(u.tables[i]->isa, name) == 0) return u.tables[i];
  }
  return nullptr;
}

}  // namespace turgo
