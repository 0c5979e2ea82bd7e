// For tests: GGUF bytes put together field by field, so that any field can lie.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turgo {

class RawGguf {
 public:
  uint32_t version = 3;
  uint64_t num_tensors = 0, num_kv = 0;  // counted up by kv() and tensor(); overwrite them to lie
  uint64_t data_bytes = 64;              // zeros behind the padding
  uint64_t pad_to = 32;
  std::string magic = "GGUF";

  template <class T>
  static std::string le(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof(T)};
  }
  static std::string str(std::string_view s) { return le<uint64_t>(s.size()) + std::string(s); }

  // `key` with its type and the bytes of its value.
  RawGguf& kv(std::string_view key, uint32_t type, const std::string& value) {
    return raw_kv(str(key) + le(type) + value);
  }
  RawGguf& raw_kv(const std::string& bytes) {
    kv_ += bytes;
    ++num_kv;
    return *this;
  }
  RawGguf& u32(std::string_view key, uint32_t v) { return kv(key, 4, le(v)); }

  struct Tensor {
    std::string name = "x";
    uint32_t num_dims = 1;
    std::initializer_list<uint64_t> ne = {16};  // innermost first
    uint32_t type = 0;                          // F32: 64 bytes
    uint64_t offset = 0;
  };
  RawGguf& tensor(const Tensor& t) {
    std::string bytes = str(t.name) + le(t.num_dims);
    for (uint64_t n : t.ne) bytes += le(n);
    infos_ += bytes + le(t.type) + le(t.offset);
    ++num_tensors;
    return *this;
  }

  std::string bytes() const {
    std::string out = magic + le(version) + le(num_tensors) + le(num_kv) + kv_ + infos_;
    if (data_bytes > 0) out.resize((out.size() + pad_to - 1) / pad_to * pad_to + data_bytes, '\0');
    return out;
  }

 private:
  std::string kv_, infos_;
};

}  // namespace turgo
