// Stateful inference: what stays of a conversation between its requests. The tokens are the truth; the blocks
// are what is left of their K and V. Draws depend on (seed, position) and penalties on the tokens, so there
// is no further sampler state. A session belongs to one owner; ids of different owners never meet.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/cache_blocks.h"
#include "engine/embedding_rows.h"

namespace turgo {

struct Sequence;

struct Session {
  std::string id, owner;
  std::vector<int32_t> tokens;
  EmbeddingRows embeddings;
  CacheTable table;                // unpinned; with `busy`, the sequence's request holds it
  const Sequence* busy = nullptr;  // the request that continues it
  double last_used = 0;
};

class SessionStore {
 public:
  SessionStore(CacheBlocks& blocks, int32_t max_sessions) : blocks_(blocks), max_sessions_(max_sessions) {}

  Session* find(const std::string& id, const std::string& owner);
  // Throws Error{kNotFound}.
  Session& get(const std::string& id, const std::string& owner);
  // Throws Error{kInvalidArgument, kResourceExhausted} for a bad id or too many sessions.
  Session& create(const std::string& id, const std::string& owner, double now);
  void erase(Session& session);  // not busy
  // A copy under a new id; they share blocks until one of them writes. Throws Error{kNotFound,
  // kInvalidArgument} for an unknown or busy source, or a taken new id.
  Session& fork(const std::string& id, const std::string& new_id, const std::string& owner, double now);
  std::vector<const Session*> list(const std::string& owner) const;
  // Forgets idle sessions that were last used before `time`; returns how many.
  int32_t expire(double time);
  size_t size() const { return sessions_.size(); }

 private:
  CacheBlocks& blocks_;
  int32_t max_sessions_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Session>> sessions_;  // (owner, id)
};

}  // namespace turgo
