// The figures of a load test, as text and as JSON with the keys of `vllm bench serve`.
#pragma once

#include "core/json.h"
#include "serve/load/load_run.h"

namespace turgo {

struct Goodput {  // milliseconds that an answer may take; 0 = any
  double ttft = 0, tpot = 0, e2el = 0;
  bool is_set() const { return ttft > 0 || tpot > 0 || e2el > 0; }
};

// "ttft:500", "tpot:50", "e2el:2000". Throws Error{kInvalidArgument}.
Goodput parse_goodput(const std::vector<std::string>& limits);

Json load_json(const LoadReport& report, const Goodput& goodput);
void print_load(const Json& figures);

}  // namespace turgo
