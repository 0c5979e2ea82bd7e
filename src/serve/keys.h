// The keys that callers show, with what each of them may take: a rate of requests and of tokens, and a
// priority. Callers of one priority get equal shares of the engine, whatever number of requests they send
// (engine/fair_share.h). All functions may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace turgo {

// Fills with `per_minute` / 60 a second, holds at most a minute's worth. A take that leaves it below zero is
// allowed if it was above: the size of an answer is known when it is over.
class TokenBucket {
 public:
  using Clock = std::chrono::steady_clock;
  explicit TokenBucket(double per_minute = 0) : per_minute_(per_minute), level_(per_minute) {}
  bool is_limited() const { return per_minute_ > 0; }
  // Seconds until something may be taken again; 0 = now.
  double wait(Clock::time_point now);
  void take(double amount, Clock::time_point now);

 private:
  void fill(Clock::time_point now);
  double per_minute_, level_;
  Clock::time_point last_ = Clock::now();
};

struct ApiKey {
  std::string secret;
  std::string name;  // owns the sessions and cached prefixes; the secret itself unless the file gives one
  int32_t priority = 0;
  TokenBucket requests, tokens;
};

class KeyRing {
 public:
  // Keys given on the command line, and a file (path may be ""):
  // {"keys": [{"key", "name", "priority", "requests_per_minute", "tokens_per_minute"}]}.
  // Throws Error{kNotFound, kCorrupt, kInvalidArgument}.
  KeyRing(std::vector<std::string> secrets, std::string path);

  bool is_open() const;  // there is no key: everybody may call
  // The key that was shown, compared with all of them in constant time; nullptr: none of them.
  std::shared_ptr<ApiKey> find(std::string_view given) const;
  std::shared_ptr<ApiKey> find_name(const std::string& name) const;

  // Seconds that this key has to wait before its next request, 0 = it was counted.
  double admit(ApiKey& key);
  void spend(ApiKey& key, size_t num_tokens);

  // Reads the file again; what it held counts until it is read. Throws as the constructor does.
  void reload();

 private:
  std::vector<std::shared_ptr<ApiKey>> read() const;

  std::vector<std::string> secrets_;
  std::string path_;
  mutable std::mutex mutex_;  // guards the list and the buckets
  std::vector<std::shared_ptr<ApiKey>> keys_;
};

}  // namespace turgo
