#include "serve/proxy/request_facts.h"

#include "serve/access.h"
#include "serve/fields.h"

namespace turgo {
namespace {

// Hashes text as it comes, a link of the chain per chunk.
class ChainHasher {
 public:
  explicit ChainHasher(std::vector<uint64_t>& chain) : chain_(chain) {}
  void add(std::string_view text) {
    while (!text.empty() && chain_.size() < kMaxChunks) {
      size_t n = std::min(kChunkBytes - pending_.size(), text.size());
      pending_ += text.substr(0, n);
      text.remove_prefix(n);
      if (pending_.size() < kChunkBytes) return;
      link();
    }
  }
  void finish() {
    if (chain_.empty() && !pending_.empty()) link();
  }

 private:
  void link() {
    chain_.push_back(hash_bytes(pending_, chain_.empty() ? 0 : chain_.back()));
    pending_.clear();
  }
  std::vector<uint64_t>& chain_;
  std::string pending_;
};

// Every text in a message or prompt, in order. Bounded by parse_body's depth.
void add_texts(ChainHasher& hasher, const Json& value) {
  if (value.is_string()) {
    hasher.add(value.get_ref<const std::string&>());
    hasher.add(std::string_view("\0", 1));
  } else if (value.is_number_integer()) {  // token ids
    hasher.add(std::to_string(value.get<int64_t>()));
    hasher.add(" ");
  } else if (value.is_structured()) {
    for (const Json& one : value) add_texts(hasher, one);
  }
}

std::string text_field(const Json& body, const char* name) {
  auto found = body.find(name);
  if (found == body.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_number_integer() ? std::to_string(found->get<int64_t>()) : "";
}

bool flag_field(const Json& body, const char* name) {
  auto found = body.find(name);
  return found != body.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

uint64_t hash_bytes(std::string_view bytes, uint64_t seed) {
  uint64_t h = 0xcbf29ce484222325 ^ (seed * 0x9e3779b97f4a7c15);
  for (char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;  // FNV-1a
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccd;  // MurmurHash3's finaliser: FNV's high bits are weak
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53;
  h ^= h >> 33;
  return h ? h : 1;
}

uint64_t session_key(std::string_view kind, std::string_view id, std::string_view caller_key) {
  return hash_bytes(id, hash_bytes(kind, hash_bytes(caller_key)));
}

RequestFacts read_request_facts(const HttpRequest& request) {
  RequestFacts facts;
  Json body = parse_body(request.body);
  if (!body.is_object()) throw ApiError(400, "the body: expected a JSON object", "", "invalid_value");
  auto model = body.find("model");
  if (model != body.end() && !model->is_null() && !model->is_string())
    bad_field("model", "expected a text, got {}", shown(*model));
  facts.model = text_field(body, "model");
  // Ollama streams unless told not to.
  bool is_ollama = request.path == "/api/chat" || request.path == "/api/generate";
  facts.is_stream =
      is_ollama ? !body.contains("stream") || flag_field(body, "stream") : flag_field(body, "stream");

  std::string key = facts.caller = key_of(request);
  std::string session = text_field(body, "session_id");
  if (request.path == "/v1/chat/interactive" && !session.empty() && session != "-1") {
    bool keeps = flag_field(body, "interactive_mode");
    facts.session = session_key("interactive", session, key);
    facts.is_stateful = true;
    facts.ends_session = !keeps;
  } else if (std::string previous = text_field(body, "previous_response_id"); !previous.empty()) {
    facts.session = session_key("response", previous, key);
    facts.is_stateful = true;
  } else {
    std::string_view named = request.field("x-session-id");
    std::string cache_key = text_field(body, "prompt_cache_key");
    std::string id = !named.empty() ? std::string(named) : !cache_key.empty() ? cache_key : session;
    if (!id.empty() && id != "-1") facts.session = session_key("named", id, key);
  }

  ChainHasher hasher(facts.chain);
  for (const char* name : {"system", "instructions", "tools", "messages", "prompt", "input"})
    if (auto found = body.find(name); found != body.end()) add_texts(hasher, *found);
  hasher.finish();
  return facts;
}

}  // namespace turgo
