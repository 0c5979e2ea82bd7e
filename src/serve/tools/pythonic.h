// Calls written as Python: f(a=1, b="x", c=[True, None]). Literals only; nothing is evaluated.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace turgo {

struct PythonCall {
  std::string name;
  std::string arguments;  // a JSON object
};

// One call, or a list of calls in brackets, or one per line. nullopt: the text is something else. At most 64
// levels; linear.
std::optional<std::vector<PythonCall>> parse_python_calls(std::string_view text);

}  // namespace turgo
