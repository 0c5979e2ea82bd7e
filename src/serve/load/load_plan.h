// What a load test sends, and when: arrivals in a closed or an open loop, prompts made up or read.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace turgo {

struct LoadRequest {
  double arrival_s = 0;
  std::string prompt;
  int32_t max_tokens = 0;
};

// Arrival times of an open loop: gamma-distributed gaps of mean 1 / rate; burstiness 1 is Poisson, larger is
// smoother, smaller burstier (as in vLLM). rate <= 0: all at once.
std::vector<double> arrival_times(size_t count, double rate, double burstiness, uint64_t seed);

// About `num_tokens` tokens of common short words, one token each in most vocabularies; no two seeds alike.
std::string random_prompt(int32_t num_tokens, uint64_t seed);

// nearest rank; 0 for no values.
double percentile(std::vector<double> values, double percent);
double mean(const std::vector<double>& values);
double deviation(const std::vector<double>& values);

}  // namespace turgo
