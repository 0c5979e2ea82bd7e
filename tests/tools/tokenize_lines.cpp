// Tokenizes many strings for the oracle tests: `tokenize_lines gguf|json|spm|folder PATH [--special]`. From
// stdin, per string: uint32 length, bytes. To stdout, per string: uint32 number of ids, int32 ids, uint32
// length, the decoded text. Exits 3 if the streaming detokenizer ever differs from decode() or breaks a
// character.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/error.h"
#include "io/gguf_tokenizer.h"
#include "io/model_file.h"
#include "text/detokenizer.h"
#include "text/gguf_vocab.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_spec.h"
#include "text/utf8.h"

namespace {

using namespace turgo;

TokenizerSpec read_spec(const std::string& kind, const std::string& path) {
  if (kind == "gguf") return tokenizer_spec_from_gguf(read_gguf_vocab(*open_model(path)));
  if (kind == "json") return read_tokenizer_json(path);
  if (kind == "spm") return read_sentencepiece_model(path);
  if (kind == "folder") return read_tokenizer_folder(path);
  fail(ErrorCode::kInvalidArgument, "expected gguf, json, spm or folder, got {}", quote(kind));
}

void write(const void* data, size_t size) {
  if (std::fwrite(data, 1, size, stdout) != size) fail(ErrorCode::kIo, "can not write to stdout");
}

void write_sized(const void* data, size_t count, size_t element_size) {
  const auto size = static_cast<uint32_t>(count);
  write(&size, sizeof size);
  write(data, count * element_size);
}

bool streams_like(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids,
                  const std::string& text) {
  Detokenizer detokenizer(tokenizer);
  std::string streamed;
  for (const int32_t id : ids) {
    const std::string part = detokenizer.add(id);
    if (!is_valid_utf8(part)) return false;
    streamed += part;
  }
  streamed += detokenizer.flush();
  return streamed == repair_utf8(text);
}

int run(int argc, char** argv) {
  if (argc < 3)
    fail(ErrorCode::kInvalidArgument, "usage: tokenize_lines gguf|json|spm|folder PATH [--special]");
  const bool special = argc > 3 && std::strcmp(argv[3], "--special") == 0;
  const auto tokenizer = Tokenizer::create(read_spec(argv[1], argv[2]));
  std::string line;
  uint32_t size = 0;
  while (std::fread(&size, sizeof size, 1, stdin) == 1) {
    line.resize(size);
    if (std::fread(line.data(), 1, size, stdin) != size)
      fail(ErrorCode::kCorrupt, "stdin ended inside a string");
    const std::vector<int32_t> ids = tokenizer->encode(line, special);
    const std::string text = tokenizer->decode(ids);
    if (!streams_like(tokenizer, ids, text)) return 3;
    write_sized(ids.data(), ids.size(), sizeof(int32_t));
    write_sized(text.data(), text.size(), 1);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const turgo::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
