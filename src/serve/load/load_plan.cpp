#include "serve/load/load_plan.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace turgo {

std::vector<double> arrival_times(size_t count, double rate, double burstiness, uint64_t seed) {
  std::vector<double> out(count, 0);
  if (rate <= 0 || !std::isfinite(rate)) return out;
  std::mt19937_64 random(seed);
  std::gamma_distribution<double> gap(burstiness, 1 / (rate * burstiness));
  double time = 0;
  for (size_t i = 0; i < count; ++i) {
    out[i] = time;
    time += gap(random);
  }
  return out;
}

std::string random_prompt(int32_t num_tokens, uint64_t seed) {
  static constexpr const char* kWords[] = {
      "time",     "year",    "people",   "way",    "day",        "man",    "thing",   "woman",
      "life",     "child",   "world",    "school", "state",      "family", "student", "group",
      "country",  "problem", "hand",     "part",   "place",      "case",   "week",    "company",
      "system",   "program", "question", "work",   "government", "number", "night",   "point",
      "home",     "water",   "room",     "mother", "area",       "money",  "story",   "fact",
      "month",    "lot",     "right",    "study",  "book",       "eye",    "job",     "word",
      "business", "issue",   "side",     "kind",   "head",       "house",  "service", "friend",
      "father",   "power",   "hour",     "game",   "line",       "end",    "member",  "law"};
  std::mt19937_64 random(seed);
  std::string out;
  for (int32_t i = 0; i < num_tokens; ++i) {
    if (i > 0) out += ' ';
    out += kWords[random() % std::size(kWords)];
  }
  return out;
}

double percentile(std::vector<double> values, double percent) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  auto rank = static_cast<size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
  return values[std::clamp<size_t>(rank, 1, values.size()) - 1];
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double deviation(const std::vector<double>& values) {
  double middle = mean(values), sum = 0;
  for (double value : values) sum += (value - middle) * (value - middle);
  return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

}  // namespace turgo
