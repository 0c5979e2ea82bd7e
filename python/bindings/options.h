// Configurations as Python gives them: dicts with the names of the option lists that also make the command
// line, and a few names that no flag can carry. describe_options() tells Python all of them, from which
// tools/make_python_options.py writes the dataclasses of turgo/options.py and the tables of docs/python.md.
#pragma once

#include <optional>

#include "bindings/bindings.h"
#include "pipeline/generation_config.h"
#include "pipeline/pipeline_config.h"
#include "serve/grammar/response_format.h"

namespace turgo::python {

// All throw Error{kInvalidArgument} for unknown names (with the closest known one) and bad values.
PipelineConfig engine_config(const nb::dict& fields);

class Generation {
 public:
  explicit Generation(const nb::dict& fields);
  GenerationConfig config;
  std::optional<AskedGrammar> grammar;  // its mask is made for each answer
};

bool is_option_name(const std::string& name);

}  // namespace turgo::python
