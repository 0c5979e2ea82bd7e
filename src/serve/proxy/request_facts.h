// What the distributor must know of a request to choose a node: the model, whether the answer is a stream,
// which session it belongs to, and hashes of its prompt's beginnings.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http/http_message.h"

namespace turgo {

struct RequestFacts {
  std::string caller;  // its key
  std::string model;   // "" = the caller leaves it to the server
  bool is_stream = false;
  // Hash of what names the conversation, with the caller's key; 0 = nothing does. session_id of LMDeploy,
  // X-Session-Id, prompt_cache_key, previous_response_id.
  uint64_t session = 0;
  // The node holds what the request goes on from: another one would answer something else.
  bool is_stateful = false;
  bool ends_session = false;  // LMDeploy's call that ends an interactive session
  // chain[i] covers the first (i + 1) * kChunkBytes bytes of the prompt. A prompt shorter than a chunk has
  // one.
  std::vector<uint64_t> chain;
};

constexpr size_t kChunkBytes = 256, kMaxChunks = 256;

uint64_t hash_bytes(std::string_view bytes, uint64_t seed = 0);
// Name of a session in the tables: no two callers share one.
uint64_t session_key(std::string_view kind, std::string_view id, std::string_view caller_key);

// Of a POST. Throws ApiError 400 for a body that is no JSON object, or whose model is no text.
RequestFacts read_request_facts(const HttpRequest& request);

}  // namespace turgo
