#include "text/protobuf_reader.h"

#include <bit>

#include "core/error.h"

namespace turgo {

void ProtobufReader::broken(const char* problem) const {
  fail(ErrorCode::kCorrupt,
       "{}: expected a SentencePiece model (protobuf), got {} with {} bytes left; is it complete?", what_,
       problem, rest_.size());
}

uint64_t ProtobufReader::read_varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (rest_.empty()) broken("a number that is cut off");
    const auto byte = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) break;
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  broken("a number of more than 64 bits");
}

bool ProtobufReader::next() {
  if (rest_.empty()) return false;
  const uint64_t tag = read_varint();
  if (tag >> 3 == 0 || tag >> 3 >= (1u << 29)) broken("a field number out of range");
  field_ = static_cast<uint32_t>(tag >> 3);
  wire_ = static_cast<Wire>(tag & 7);
  size_t size = 0;
  switch (wire_) {
    case Wire::kVarint:
      value_ = read_varint();
      return true;
    case Wire::kFixed64:
      size = 8;
      break;
    case Wire::kFixed32:
      size = 4;
      break;
    case Wire::kBytes: {
      const uint64_t length = read_varint();
      if (length > rest_.size()) broken("a field longer than the file");
      size = static_cast<size_t>(length);
      break;
    }
    default:
      broken("an unknown field type");
  }
  if (size > rest_.size()) broken("a field that is cut off");
  bytes_ = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

void ProtobufReader::expect(Wire wire) const {
  if (wire_ != wire) broken("a field of the wrong type");
}

uint64_t ProtobufReader::varint() const {
  expect(Wire::kVarint);
  return value_;
}

float ProtobufReader::float32() const {
  expect(Wire::kFixed32);
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) bits |= uint32_t{static_cast<uint8_t>(bytes_[i])} << (8 * i);
  return std::bit_cast<float>(bits);
}

std::string_view ProtobufReader::bytes() const {
  expect(Wire::kBytes);
  return bytes_;
}

}  // namespace turgo
