// A session on disk: its tokens and embedding rows, bound to one model and one owner. K and V are not stored:
// the tokens are the truth, and what they are recomputed to is the same bits. Layout, little endian:
//   "TURGOSES" | u32 version | u32 length, model id | u64 owner hash | u64 tokens, i32 each | u64 floats, f32
//   each | u32 spans, each: i32 first_row, u32 length, hash | u64 checksum of all before
// An AtomicFile that its owner alone may read: a full disk leaves the old file, two saves at once one of
// them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/embedding_rows.h"

namespace turgo {

struct SessionContent {
  std::vector<int32_t> tokens;
  EmbeddingRows embeddings;
};

// Throws Error{kNotFound, kResourceExhausted (a full disk), kInvalidArgument (no regular file), kIo}.
void write_session_file(const std::string& path, const SessionContent& content, std::string_view model_id,
                        std::string_view owner);

// Throws Error{kNotFound, kIo} if the file can not be read, {kCorrupt} if it breaks its format,
// {kInvalidArgument} if it is another model's or owner's. Ids are below vocab_size, rows are as many as the
// ids below 0 need.
SessionContent read_session_file(const std::string& path, std::string_view model_id, std::string_view owner,
                                 int32_t vocab_size, int32_t hidden_size);

// The bytes of such a file; `path` is for messages.
std::string dump_session(const SessionContent& content, std::string_view model_id, std::string_view owner);
SessionContent parse_session(std::string_view bytes, const std::string& path, std::string_view model_id,
                             std::string_view owner, int32_t vocab_size, int32_t hidden_size);

}  // namespace turgo
