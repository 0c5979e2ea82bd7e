// What one chat template may cost. A template comes from a model file or from a request, so each number here
// is a promise: nothing that a template or a conversation says can use more time, stack or memory than this.
#pragma once

#include <cstddef>
#include <cstdint>

namespace turgo::jinja {

struct Limits {
  size_t max_source_bytes = size_t{1} << 20;
  // Nesting of expressions and statements in the source, and so the height of the syntax tree.
  int max_parse_depth = 200;
  // Nested evaluations at run time; a macro that calls itself stops here. 1200 levels need about 600 KiB of
  // stack (1.9 MiB under AddressSanitizer).
  int max_eval_depth = 1200;
  // Nesting of a value that is printed, compared or hashed: a list can be made to hold itself.
  int max_value_depth = 128;
  // One step is one syntax node evaluated, one element visited or 256 bytes copied; 10 M take well under a
  // second.
  int64_t max_steps = 10'000'000;
  size_t max_string_bytes = size_t{16} << 20;  // any one string, the output among them
  size_t max_live_bytes = size_t{256} << 20;   // all values that are alive at a time
  int64_t max_range = 100'000;                 // elements of one range()
  size_t max_message_bytes = 1000;             // of a raise_exception() text
};

}  // namespace turgo::jinja
