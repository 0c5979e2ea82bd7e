// Any JSON object as config.json, or as GGUF metadata, gives a DecoderConfig inside its limits or an Error.
#include <cstddef>
#include <cstdint>

#include "core/error.h"
#include "core/json.h"
#include "models/load_model.h"

namespace turgo {
namespace {

// The one tensor that GGUF configurations look at.
RawTensor embedding_table() {
  static const std::byte zeros[64 * 4]{};
  RawTensor t;
  t.name = "token_embd.weight";
  t.shape = Shape{4, 16};
  t.bytes = zeros;
  return t;
}

void check(const DecoderConfig& c) {
  CHECK(c.vocab_size > 0 && c.hidden_size > 0 && c.num_layers() > 0 && c.num_layers() <= 512);
  for (const LayerConfig& l : c.layers) {
    CHECK(l.head_dim > 0 && l.head_dim % 2 == 0 && l.intermediate_size >= 0);
    CHECK(l.attention == AttentionKind::kNone || (l.num_kv_heads > 0 && l.num_heads % l.num_kv_heads == 0));
    CHECK(l.rope < static_cast<int32_t>(c.ropes.size()));
  }
  for (const RopeConfig& r : c.ropes) CHECK(r.rotary_dim >= 2 && r.theta > 1 && r.original_max_position > 0);
}

}  // namespace
}  // namespace turgo

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace turgo;
  try {
    Json json = parse_json({reinterpret_cast<const char*>(data), size}, "input");
    if (!json.is_object()) return 0;
    ModelFileParts parts;
    parts.kind =
        json.contains("general.architecture") ? ModelFile::Kind::kGguf : ModelFile::Kind::kHuggingFace;
    parts.path = parts.folder = "/nonexistent";
    parts.tensors = {embedding_table()};
    parts.metadata = std::make_unique<const Json>(std::move(json));
    check(read_decoder_config(ModelFile(std::move(parts))));
  } catch (const Error&) {
    return 0;  // refused in one line: what a hostile configuration should get
  }
  return 0;
}
