#include "engine/session.h"

#include "core/error.h"

namespace turgo {

Session* SessionStore::find(const std::string& id, const std::string& owner) {
  auto it = sessions_.find({owner, id});
  return it == sessions_.end() ? nullptr : it->second.get();
}

Session& SessionStore::get(const std::string& id, const std::string& owner) {
  Session* s = find(id, owner);
  if (!s) fail(ErrorCode::kNotFound, "session '{}' does not exist (it may have ended or expired)", quote(id));
  return *s;
}

Session& SessionStore::create(const std::string& id, const std::string& owner, double now) {
  constexpr size_t kMaxIdBytes = 256;
  if (id.empty() || id.size() > kMaxIdBytes)
    fail(ErrorCode::kInvalidArgument, "session id: expected 1 to {} bytes, got {}", kMaxIdBytes, id.size());
  if (size() >= static_cast<size_t>(max_sessions_))
    fail(ErrorCode::kResourceExhausted, "there are {} sessions, the most that are kept; end one first",
         size());
  auto& slot = sessions_[{owner, id}];
  CHECK(!slot);
  slot = std::make_unique<Session>();
  slot->id = id;
  slot->owner = owner;
  slot->last_used = now;
  return *slot;
}

void SessionStore::erase(Session& s) {
  CHECK(!s.busy);
  blocks_.release(s.table);
  sessions_.erase({s.owner, s.id});
}

Session& SessionStore::fork(const std::string& id, const std::string& new_id, const std::string& owner,
                            double now) {
  Session& from = get(id, owner);
  if (from.busy)
    fail(ErrorCode::kInvalidArgument, "session '{}' is answering a request; fork it when that has ended",
         quote(id));
  if (find(new_id, owner))
    fail(ErrorCode::kInvalidArgument, "session '{}' exists already; choose another id for the fork",
         quote(new_id));
  Session& to = create(new_id, owner, now);
  to.tokens = from.tokens;
  to.embeddings = from.embeddings;
  to.table = blocks_.fork(from.table);
  return to;
}

std::vector<const Session*> SessionStore::list(const std::string& owner) const {
  std::vector<const Session*> found;
  for (const auto& [key, session] : sessions_)
    if (key.first == owner) found.push_back(session.get());
  return found;
}

int32_t SessionStore::expire(double time) {
  int32_t n = 0;
  for (auto it = sessions_.begin(); it != sessions_.end();) {
    Session& s = *(it++)->second;
    if (s.busy || s.last_used >= time) continue;
    erase(s);
    ++n;
  }
  return n;
}

}  // namespace turgo
