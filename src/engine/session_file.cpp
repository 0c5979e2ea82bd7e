#include "engine/session_file.h"

#include <cstring>

#include "core/error.h"
#include "core/mapped_file.h"
#include "io/atomic_file.h"

namespace turgo {
namespace {

constexpr char kMagic[] = "TURGOSES";
constexpr size_t kMagicBytes = 8;
constexpr uint32_t kVersion = 2;  // 2: V of int8 and int4 pages with four tokens a word

uint64_t hash_bytes(std::string_view bytes) {  // FNV-1a
  uint64_t h = 0xCBF29CE484222325u;
  for (char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return h;
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
template <class T>
void put_array(std::string& out, const std::vector<T>& values) {
  put(out, static_cast<uint64_t>(values.size()));
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}
void put_string(std::string& out, std::string_view s) {
  put(out, static_cast<uint32_t>(s.size()));
  out.append(s);
}

// Reads fields off the front; every length is checked against what is left before it sizes anything.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& path) : rest_(bytes), path_(path) {}
  template <class T>
  T number() {
    T value;
    std::string_view bytes = take(sizeof value);
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  template <class T>
  std::vector<T> array() {
    auto count = number<uint64_t>();
    if (count > rest_.size() / sizeof(T)) corrupt();
    std::vector<T> values(static_cast<size_t>(count));
    std::string_view bytes = take(values.size() * sizeof(T));
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());  // no array: data() is null
    return values;
  }
  std::string_view string() { return take(number<uint32_t>()); }
  size_t left() const { return rest_.size(); }
  [[noreturn]] void corrupt() const {
    fail(ErrorCode::kCorrupt, "{}: not a whole session file; it may be truncated or damaged",
         quote(path_, 200));
  }

 private:
  std::string_view take(size_t n) {
    if (n > rest_.size()) corrupt();
    auto front = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return front;
  }
  std::string_view rest_;
  const std::string& path_;
};

}  // namespace

std::string dump_session(const SessionContent& content, std::string_view model_id, std::string_view owner) {
  std::string out(kMagic, kMagicBytes);
  put(out, kVersion);
  put_string(out, model_id);
  put(out, hash_bytes(owner));
  put_array(out, content.tokens);
  put_array(out, content.embeddings.values);
  put(out, static_cast<uint32_t>(content.embeddings.spans.size()));
  for (const auto& span : content.embeddings.spans) {
    put(out, span.first_row);
    put_string(out, span.hash);
  }
  put(out, hash_bytes(out));
  return out;
}

void write_session_file(const std::string& path, const SessionContent& content, std::string_view model_id,
                        std::string_view owner) {
  AtomicFile file(path, {}, AtomicFile::kPrivate);
  file.write(dump_session(content, model_id, owner));
  file.commit();
}

SessionContent parse_session(std::string_view bytes, const std::string& path, std::string_view model_id,
                             std::string_view owner, int32_t vocab_size, int32_t hidden_size) {
  Fields file(bytes, path);
  if (bytes.size() < kMagicBytes + 12 || bytes.compare(0, kMagicBytes, kMagic) != 0) file.corrupt();
  std::string_view body = bytes.substr(0, bytes.size() - 8);
  uint64_t checksum = 0;
  std::memcpy(&checksum, body.data() + body.size(), 8);
  Fields f(body.substr(kMagicBytes), path);
  auto version = f.number<uint32_t>();
  if (version != kVersion)
    fail(ErrorCode::kUnsupported, "{}: session file of version {}, this program reads {}", quote(path, 200),
         version, kVersion);
  if (checksum != hash_bytes(body)) file.corrupt();
  std::string_view model = f.string();
  if (model != model_id)
    fail(ErrorCode::kInvalidArgument, "{}: the session belongs to the model {}, this one is {}",
         quote(path, 200), quote(model), quote(model_id));
  if (f.number<uint64_t>() != hash_bytes(owner))
    fail(ErrorCode::kInvalidArgument, "{}: the session belongs to another owner", quote(path, 200));
  SessionContent content;
  content.tokens = f.array<int32_t>();
  content.embeddings.values = f.array<float>();
  auto num_spans = f.number<uint32_t>();
  for (uint32_t i = 0; i < num_spans; ++i) {
    auto first_row = f.number<int32_t>();
    content.embeddings.spans.push_back({first_row, std::string(f.string())});
  }
  if (f.left() != 0) f.corrupt();

  // The checksum finds accidents; the rest may not trust it.
  uint64_t rows = 0;
  for (int32_t id : content.tokens) {
    if (id >= vocab_size) f.corrupt();
    rows += id < 0;
  }
  if (content.embeddings.values.size() != rows * static_cast<uint64_t>(hidden_size)) f.corrupt();
  int32_t previous = -1;
  for (const auto& span : content.embeddings.spans) {
    if (span.first_row <= previous || static_cast<uint64_t>(span.first_row) >= rows) f.corrupt();
    previous = span.first_row;
  }
  if (rows > 0 && (content.embeddings.spans.empty() || content.embeddings.spans[0].first_row != 0))
    f.corrupt();
  return content;
}

SessionContent read_session_file(const std::string& path, std::string_view model_id, std::string_view owner,
                                 int32_t vocab_size, int32_t hidden_size) {
  auto file = MappedFile::open(path);
  std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  return parse_session(bytes, path, model_id, owner, vocab_size, hidden_size);
}

}  // namespace turgo
