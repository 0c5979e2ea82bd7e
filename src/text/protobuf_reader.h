// Walks the fields of one protobuf message (wire format: varint, 64-bit, bytes, 32-bit). Views into the
// message; groups are refused. Throws Error{kCorrupt} on anything that does not fit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turgo {

class ProtobufReader {
 public:
  enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

  // `what` names the file and must outlive the reader.
  ProtobufReader(std::string_view message, const std::string& what) : rest_(message), what_(what) {}

  bool next();  // false at the end
  uint32_t field() const { return field_; }
  // The value of the field; the wrong wire type is an error.
  uint64_t varint() const;
  bool boolean() const { return varint() != 0; }
  int32_t int32() const { return static_cast<int32_t>(static_cast<uint32_t>(varint())); }
  float float32() const;
  std::string_view bytes() const;

 private:
  [[noreturn]] void broken(const char* problem) const;
  uint64_t read_varint();
  void expect(Wire wire) const;

  std::string_view rest_;
  const std::string& what_;
  uint32_t field_ = 0;
  Wire wire_ = Wire::kVarint;
  uint64_t value_ = 0;
  std::string_view bytes_;
};

}  // namespace turgo
