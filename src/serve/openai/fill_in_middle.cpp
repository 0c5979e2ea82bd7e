#include "serve/openai/fill_in_middle.h"

namespace turgo {
namespace {

// As the families' tokenizers spell them. DeepSeek's "hole" stands where the suffix begins, its "end" where
// the middle does.
struct Markers {
  const char *prefix, *suffix, *middle;
};
constexpr Markers kMarkers[] = {
    {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"},     // Qwen2.5-Coder, CodeGemma, Seed-Coder
    {"<fim_prefix>", "<fim_suffix>", "<fim_middle>"},           // StarCoder, Granite, Refact
    {"<fim-prefix>", "<fim-suffix>", "<fim-middle>"},           // SantaCoder
    {"▁<PRE>", "▁<SUF>", "▁<MID>"},                             // Code Llama
    {"<PRE>", "<SUF>", "<MID>"},                                //
    {"<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"},     // DeepSeek
    {"<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"},  // CodeGeeX, GLM
    {"[PREFIX]", "[SUFFIX]", "[MIDDLE]"},                       // Codestral; mostly without the last one
};
constexpr const char* kStops[] = {"<EOT>",       "▁<EOT>",       "<|endoftext|>",
                                  "<|fim_pad|>", "<|file_sep|>", "<|repo_name|>",
                                  "<fim_pad>",   "<file_sep>",   "<｜end▁of▁sentence｜>"};

}  // namespace

std::optional<FillInMiddle> FillInMiddle::find(const Tokenizer& tokenizer) {
  for (const Markers& markers : kMarkers) {
    FillInMiddle out;
    out.prefix = tokenizer.token_to_id(markers.prefix);
    out.suffix = tokenizer.token_to_id(markers.suffix);
    out.middle = tokenizer.token_to_id(markers.middle);
    out.suffix_first = markers.prefix[0] == '[';
    if (out.prefix < 0 || out.suffix < 0 || (out.middle < 0 && !out.suffix_first)) continue;
    for (const char* stop : kStops)
      if (int32_t id = tokenizer.token_to_id(stop); id >= 0) out.stop_ids.push_back(id);
    return out;
  }
  return std::nullopt;
}

std::vector<int32_t> FillInMiddle::prompt(const Tokenizer& tokenizer, const std::string& before,
                                          const std::string& after) const {
  std::vector<int32_t> out;
  if (tokenizer.add_bos() && tokenizer.bos_id() >= 0) out.push_back(tokenizer.bos_id());
  auto add = [&](int32_t marker, const std::string& text) {
    out.push_back(marker);
    for (int32_t id : tokenizer.encode(text)) out.push_back(id);
  };
  if (suffix_first) add(suffix, after);
  add(prefix, before);
  if (!suffix_first) add(suffix, after);
  if (middle >= 0) out.push_back(middle);
  return out;
}

}  // namespace turgo
