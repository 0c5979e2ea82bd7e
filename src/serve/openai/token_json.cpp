#include "serve/openai/token_json.h"

#include <algorithm>

#include "text/utf8.h"

namespace turgo {
namespace {

// JSON has no -inf; vLLM's stand-in.
double finite(float logprob) {
  return std::max(static_cast<double>(logprob), -9999.0);
}

Json entry(const Tokenizer& tokenizer, int32_t id, float logprob) {
  std::string piece = tokenizer.piece(id, false);
  Json bytes = Json::array();
  for (char c : piece) bytes.push_back(static_cast<int>(static_cast<unsigned char>(c)));
  return {{"token", repair_utf8(piece)}, {"logprob", finite(logprob)}, {"bytes", std::move(bytes)}};
}

}  // namespace

Json chat_logprob(const Tokenizer& tokenizer, const OutputToken& token) {
  Json out = entry(tokenizer, token.token_id, token.logprob);
  out["top_logprobs"] = Json::array();
  for (const TokenLogprob& top : token.top_logprobs)
    out["top_logprobs"].push_back(entry(tokenizer, top.token_id, top.logprob));
  return out;
}

void CompletionLogprobs::add(const Tokenizer& tokenizer, const OutputToken& token, bool has_logprob) {
  std::string piece = repair_utf8(tokenizer.piece(token.token_id, false));
  tokens.push_back(piece);
  text_offset.push_back(offset);
  offset += std::count_if(piece.begin(), piece.end(), [](char c) { return (c & 0xc0) != 0x80; });
  if (!has_logprob) {
    token_logprobs.push_back(nullptr);
    top_logprobs.push_back(nullptr);
    return;
  }
  token_logprobs.push_back(finite(token.logprob));
  Json top = Json::object();
  for (const TokenLogprob& one : token.top_logprobs)
    top[repair_utf8(tokenizer.piece(one.token_id, false))] = finite(one.logprob);
  top_logprobs.push_back(std::move(top));
}

Json CompletionLogprobs::to_json() const {
  return {{"tokens", tokens},
          {"token_logprobs", token_logprobs},
          {"top_logprobs", top_logprobs},
          {"text_offset", text_offset}};
}

}  // namespace turgo
