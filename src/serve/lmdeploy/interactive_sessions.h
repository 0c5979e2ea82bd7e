// What /v1/chat/interactive remembers of a session: its messages. Their tokens and KV are in the engine's
// session of the same id. Sessions belong to an owner.
#pragma once

#include <map>
#include <memory>
#include <mutex>
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
};

class InteractiveSessions {
 public:
  explicit InteractiveSessions(size_t max_sessions = 4096) : max_sessions_(max_sessions) {}

  std::mutex mutex;  // guards what is behind the pointers
  // nullptr: there is none and `create` is false, or there are too many.
  std::shared_ptr<InteractiveSession> find(const std::string& owner, const std::string& id, bool create) {
    auto found = sessions_.find({owner, id});
    if (found != sessions_.end()) return found->second;
    if (!create || sessions_.size() >= max_sessions_) return nullptr;
    return sessions_[{owner, id}] = std::make_shared<InteractiveSession>();
  }
  void erase(const std::string& owner, const std::string& id) { sessions_.erase({owner, id}); }

 private:
  size_t max_sessions_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<InteractiveSession>> sessions_;
};

}  // namespace turgo
