// string -> id over a spelling list that it does not own: open addressing on 32-bit ids, no allocation per
// entry. PairTable: (left id, right id) -> (rank, result id) the same way.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace turgo {

inline uint64_t mix_hash(uint64_t x) {  // splitmix64's finaliser
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

inline uint64_t hash_bytes(std::string_view s) {
  uint64_t h = 0x9e3779b97f4a7c15u ^ s.size();
  const char* p = s.data();
  size_t n = s.size();
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    h = (std::rotl(h, 29) ^ word) * 0xff51afd7ed558ccdu;
  }
  uint64_t word = 0;
  std::memcpy(&word, p, n);
  return mix_hash(std::rotl(h, 29) ^ word);
}

class PieceTable {
 public:
  // The strings behind the views must outlive the table and not move.
  void reserve(size_t num_pieces) {
    entries_.reserve(num_pieces);
    slots_.assign(std::bit_ceil(num_pieces * 2 + 2), -1);
  }
  // False (and no change) if the text is already there. Call reserve with the final size first.
  bool insert(std::string_view text, int32_t id) {
    const uint64_t hash = hash_bytes(text);
    for (size_t slot = hash & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot] < 0) {
        slots_[slot] = static_cast<int32_t>(entries_.size());
        entries_.push_back({text, static_cast<uint32_t>(hash >> 32), id});
        return true;
      }
      if (entries_[static_cast<size_t>(slots_[slot])].text == text) return false;
    }
  }
  int32_t find(std::string_view text) const {  // -1 if absent
    if (slots_.empty()) return -1;
    const uint64_t hash = hash_bytes(text);
    for (size_t slot = hash & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot] < 0) return -1;
      const Entry& entry = entries_[static_cast<size_t>(slots_[slot])];
      if (entry.tag == static_cast<uint32_t>(hash >> 32) && entry.text == text) return entry.id;
    }
  }

 private:
  struct Entry {
    std::string_view text;
    uint32_t tag;
    int32_t id;
  };
  std::vector<Entry> entries_;
  std::vector<int32_t> slots_;
};

class PairTable {
 public:
  struct Value {
    int32_t rank, result;
  };
  void reserve(size_t num_pairs) { slots_.assign(std::bit_ceil(num_pairs * 2 + 2), Slot{kEmpty, {-1, -1}}); }
  // A later insert of the same pair replaces the value. Ids are >= 0. Call reserve with the final size first.
  void insert(int32_t left, int32_t right, Value value) {
    const uint64_t key = pack(left, right);
    size_t slot = mix_hash(key) & (slots_.size() - 1);
    while (slots_[slot].key != kEmpty && slots_[slot].key != key) slot = (slot + 1) & (slots_.size() - 1);
    slots_[slot] = {key, value};
  }
  Value find(int32_t left, int32_t right) const {  // rank -1 if absent
    if (slots_.empty()) return {-1, -1};
    const uint64_t key = pack(left, right);
    for (size_t slot = mix_hash(key) & (slots_.size() - 1);; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot].key == key) return slots_[slot].value;
      if (slots_[slot].key == kEmpty) return {-1, -1};
    }
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t pack(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  struct Slot {
    uint64_t key;
    Value value;
  };
  std::vector<Slot> slots_;
};

}  // namespace turgo
