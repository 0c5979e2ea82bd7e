// Tokens -> syntax tree, with jinja2's grammar and precedences. `include`, `import`, `from`, `extends`,
// `block`, `call` and `autoescape` are refused by name: a chat template is one file and builds no HTML.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/limits.h"

namespace turgo::jinja {

// Throws Error{kCorrupt, kUnsupported, kResourceExhausted} that names the line.
Template parse_template(std::string_view source, const Limits& limits);

}  // namespace turgo::jinja
