// What a compressed model lost: the written files are loaded as any user would load them and compared with
// the source on text that calibration did not see.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/compressor.h"

namespace turgo {

struct SelfCheck {
  int64_t num_tokens = 0;
  double source_perplexity = 0, perplexity = 0, mean_kl = 0, top1 = 0;
  int64_t source_bytes = 0, bytes = 0;  // weights as they are resident
  double source_decode_tokens_per_second = 0, decode_tokens_per_second = 0;
};

// `ids`: the held-out tokens. The source runs in f32.
SelfCheck check_result(const std::string& source, const std::string& result, const std::vector<int32_t>& ids,
                       int32_t threads);

Json to_json(const SelfCheck& check);

}  // namespace turgo
