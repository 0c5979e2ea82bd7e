#include "compress/generated_text.h"

#include <algorithm>

#include "core/error.h"
#include "pipeline/pipeline.h"

namespace turgo {
namespace {

constexpr int32_t kMostAtOnce = 32;

// Starts of words as they stand behind a space, of letters alone.
std::vector<int32_t> word_tokens(const Tokenizer& tokenizer) {
  std::vector<int32_t> words;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_special(id)) continue;
    const std::string piece = tokenizer.piece(id);
    if (piece.size() >= 3 && piece[0] == ' ' && std::all_of(piece.begin() + 1, piece.end(), [](char c) {
          return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        }))
      words.push_back(id);
  }
  return words;
}

uint64_t next_random(uint64_t& state) {
  state += 0x9e3779b97f4a7c15u;  // splitmix64
  uint64_t z = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

}  // namespace

CalibrationSamples generate_calibration(const std::string& model, const CalibrationRequest& request,
                                        int32_t threads) {
  PipelineConfig config;
  config.threads = threads;
  config.session_len = request.seqlen + 8;
  config.max_batch_size = std::min(request.num_samples, kMostAtOnce);
  auto pipeline = Pipeline::open(model, config);
  const Tokenizer& tokenizer = pipeline->tokenizer();
  const std::vector<int32_t> words = word_tokens(tokenizer);
  if (words.empty())
    fail(ErrorCode::kUnsupported,
         "{}: --calib-dataset {} starts from words, and its vocabulary has none; "
         "expected a file, or {} (the bundled text)",
         quote(model, 200), kGeneratedDataset, kBundledDataset);
  CalibrationSamples out;
  out.source = "text that the model wrote";
  out.num_asked = request.num_samples;
  uint64_t random = 1;
  std::vector<TextStream> streams;
  std::vector<std::vector<int32_t>> prompts;
  for (int32_t i = 0; i < request.num_samples; ++i) {
    std::vector<int32_t> ids;
    if (tokenizer.add_bos() && tokenizer.bos_id() >= 0) ids.push_back(tokenizer.bos_id());
    ids.push_back(words[next_random(random) % words.size()]);
    GenerationConfig generation;
    generation.max_new_tokens = request.seqlen - static_cast<int32_t>(ids.size());
    generation.temperature = 1;
    generation.top_p = 1;
    generation.top_k = 0;
    generation.seed = next_random(random);
    generation.ignore_eos = true;
    prompts.push_back(ids);
    streams.push_back(pipeline->generate_from(std::move(ids), generation));
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    std::vector<int32_t> sample = std::move(prompts[i]);
    for (const OutputToken& token : streams[i].collect().tokens) sample.push_back(token.token_id);
    for (int32_t id : sample) out.hash = (out.hash ^ static_cast<uint32_t>(id)) * 0x100000001b3u;
    out.num_tokens += static_cast<int64_t>(sample.size());
    out.ids.push_back(std::move(sample));
  }
  return out;
}

CalibrationSamples calibration_of(const std::string& model, const CalibrationRequest& request,
                                  const Tokenizer& tokenizer, int32_t threads) {
  return request.dataset == kGeneratedDataset ? generate_calibration(model, request, threads)
                                              : read_calibration(request, tokenizer);
}

}  // namespace turgo
