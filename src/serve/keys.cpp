#include "serve/keys.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"
#include "core/options.h"
#include "serve/access.h"

namespace turgo {
namespace {

constexpr size_t kMaxKeys = 10'000, kMaxKeyBytes = 512;

void check_secret(const std::string& secret, const std::string& where) {
  bool plain = !secret.empty() && secret.size() <= kMaxKeyBytes &&
               std::all_of(secret.begin(), secret.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!plain)
    fail(ErrorCode::kInvalidArgument, "{}: expected keys of 1 to {} printable characters without spaces",
         where, kMaxKeyBytes);
}

}  // namespace

void TokenBucket::fill(Clock::time_point now) {
  double seconds = std::chrono::duration<double>(now - last_).count();
  level_ = std::min(per_minute_, level_ + std::max(seconds, 0.0) * per_minute_ / 60);
  last_ = now;
}

double TokenBucket::wait(Clock::time_point now) {
  if (!is_limited()) return 0;
  fill(now);
  return level_ >= 1 ? 0 : (1 - level_) * 60 / per_minute_;
}

void TokenBucket::take(double amount, Clock::time_point now) {
  if (!is_limited()) return;
  fill(now);
  level_ -= amount;
}

KeyRing::KeyRing(std::vector<std::string> secrets, std::string path)
    : secrets_(std::move(secrets)), path_(std::move(path)) {
  keys_ = read();
}

std::vector<std::shared_ptr<ApiKey>> KeyRing::read() const {
  std::vector<std::shared_ptr<ApiKey>> keys;
  for (const std::string& secret : secrets_) {
    check_secret(secret, "--api-keys");
    keys.push_back(std::make_shared<ApiKey>(ApiKey{secret, secret, 0, TokenBucket(), TokenBucket()}));
  }
  if (path_.empty()) return keys;
  std::string where = "--api-keys-file " + quote(path_, 200);
  Json file = parse_json_file(path_, 4 << 20, 8);
  if (!file.is_object() || !file.contains("keys") || !file["keys"].is_array() || file["keys"].empty() ||
      file["keys"].size() > kMaxKeys)
    fail(ErrorCode::kCorrupt, "{}: expected {{\"keys\": [{{\"key\": …}}]}} with 1 to {} keys", where,
         kMaxKeys);
  for (const Json& one : file["keys"]) {
    ApiKey key;
    double requests = 0, tokens = 0;
    OptionList list;
    list.add("key", &key.secret, "");
    list.add("name", &key.name, "");
    list.add("priority", &key.priority, "").range(-1000, 1000);
    list.add("requests_per_minute", &requests, "").range(0, 1e9);
    list.add("tokens_per_minute", &tokens, "").range(0, 1e12);
    list.set_json(one, where);
    check_secret(key.secret, where);
    if (key.name.empty()) key.name = key.secret;
    key.requests = TokenBucket(requests);
    key.tokens = TokenBucket(tokens);
    keys.push_back(std::make_shared<ApiKey>(std::move(key)));
  }
  return keys;
}

bool KeyRing::is_open() const {
  std::lock_guard lock(mutex_);
  return keys_.empty();
}

std::shared_ptr<ApiKey> KeyRing::find(std::string_view given) const {
  std::lock_guard lock(mutex_);
  std::shared_ptr<ApiKey> found;
  for (const auto& key : keys_)
    if (equal_in_constant_time(given, key->secret)) found = key;
  return found;
}

std::shared_ptr<ApiKey> KeyRing::find_name(const std::string& name) const {
  std::lock_guard lock(mutex_);
  for (const auto& key : keys_)
    if (key->name == name) return key;
  return nullptr;
}

double KeyRing::admit(ApiKey& key) {
  std::lock_guard lock(mutex_);
  auto now = TokenBucket::Clock::now();
  double wait = std::max(key.requests.wait(now), key.tokens.wait(now));
  if (wait == 0) key.requests.take(1, now);
  return wait;
}

void KeyRing::spend(ApiKey& key, size_t num_tokens) {
  std::lock_guard lock(mutex_);
  key.tokens.take(static_cast<double>(num_tokens), TokenBucket::Clock::now());
}

void KeyRing::reload() {
  std::vector<std::shared_ptr<ApiKey>> fresh = read();
  std::lock_guard lock(mutex_);
  // Who has spent a rate keeps it spent.
  for (auto& key : fresh)
    for (const auto& old : keys_)
      if (old->secret == key->secret && old->name == key->name && old->priority == key->priority) key = old;
  keys_ = std::move(fresh);
}

}  // namespace turgo
