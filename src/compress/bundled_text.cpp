#include "compress/bundled_text.h"

// The file's bytes as they are: a string literal of this size would cost the compiler seconds.
__asm__(
    ".section .rodata\n"
    ".global turgo_bundled_text_begin\n"
    "turgo_bundled_text_begin:\n"
    ".incbin \"" TURGO_BUNDLED_TEXT
    "\"\n"
    ".global turgo_bundled_text_end\n"
    "turgo_bundled_text_end:\n"
    ".byte 0\n"
    ".text\n");
extern "C" const char turgo_bundled_text_begin[], turgo_bundled_text_end[];

namespace turgo {

std::string_view bundled_text() {
  return {turgo_bundled_text_begin, static_cast<size_t>(turgo_bundled_text_end - turgo_bundled_text_begin)};
}

}  // namespace turgo
