// What /v1/chat/interactive remembers of a session: its messages. Their tokens and KV are in the engine's
// session of the same id. Sessions belong to an owner.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/prompt.h"

namespace turgo {

struct InteractiveSession {
  std::vector<Message> messages;
  bool busy = false;       // a request answers in it
  bool cancelled = false;  // and is to end
  bool ended = false;      // and then the session is to be forgotten
  uint64_t last_use = 0;   // counts up
};

class InteractiveSessions {
 public:
  explicit InteractiveSessions(size_t max_sessions = 4096) : max_sessions_(max_sessions) {}

  using Key = std::pair<std::string, std::string>;  // owner, id

  std::mutex mutex;  // guards all of this, also what is behind the pointers
  // nullptr: there is none and `create` is false, or there are too many and all of them are answering.
  std::shared_ptr<InteractiveSession> find(const std::string& owner, const std::string& id, bool create) {
    auto found = sessions_.find({owner, id});
    if (found == sessions_.end()) {
      if (!create || sessions_.size() >= max_sessions_) return nullptr;
      found = sessions_.emplace(Key{owner, id}, std::make_shared<InteractiveSession>()).first;
    }
    found->second->last_use = ++num_uses_;
    return found->second;
  }
  // Forgets the session that rests for longest if there is no room for one more; returns which.
  std::optional<Key> make_room() {
    if (sessions_.size() < max_sessions_) return std::nullopt;
    auto oldest = sessions_.end();
    for (auto s = sessions_.begin(); s != sessions_.end(); ++s)
      if (!s->second->busy && (oldest == sessions_.end() || s->second->last_use < oldest->second->last_use))
        oldest = s;
    if (oldest == sessions_.end()) return std::nullopt;
    Key key = oldest->first;
    sessions_.erase(oldest);
    return key;
  }
  void erase(const std::string& owner, const std::string& id) { sessions_.erase({owner, id}); }

 private:
  size_t max_sessions_;
  uint64_t num_uses_ = 0;
  std::map<Key, std::shared_ptr<InteractiveSession>> sessions_;
};

}  // namespace turgo
