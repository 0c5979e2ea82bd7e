#include "text/tokenizer_folder.h"

#include <filesystem>

#include "core/error.h"
#include "core/json.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer_json.h"

namespace turgo {
namespace {

bool exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

int32_t find_token(const TokenizerSpec& spec, const std::string& text) {
  for (const AddedToken& token : spec.added_tokens)
    if (token.content == text) return token.id;
  for (size_t id = 0; id < spec.pieces.size(); ++id)
    if (spec.pieces[id].text == text) return static_cast<int32_t>(id);
  return -1;
}

// Adds or replaces the entry of that id; grows the vocabulary by a sane step only.
void set_added_token(TokenizerSpec& spec, AddedToken token) {
  if (token.id < 0 || static_cast<size_t>(token.id) >= spec.pieces.size() + 65536)
    fail(ErrorCode::kCorrupt, "{}: expected an id of 0 to {} for the added token {}, got {}", spec.name,
         spec.pieces.size() + 65535, quote(token.content), token.id);
  // New pieces are of type control, so that the model never makes them: the added token alone does.
  if (static_cast<size_t>(token.id) >= spec.pieces.size())
    spec.pieces.resize(static_cast<size_t>(token.id) + 1, Piece{"", 0, PieceType::kControl});
  Piece& piece = spec.pieces[static_cast<size_t>(token.id)];
  if (piece.text.empty()) piece.text = token.content;
  // A user-defined piece that is an ordinary token here stays the model's own business.
  if (!token.special && piece.type == PieceType::kUserDefined && piece.text == token.content) return;
  for (AddedToken& old : spec.added_tokens) {
    if (old.id != token.id) continue;
    old = std::move(token);
    return;
  }
  spec.added_tokens.push_back(std::move(token));
}

bool flag(const Json& object, const char* key, bool otherwise) {
  const auto it = object.find(key);
  return it == object.end() || !it->is_boolean() ? otherwise : it->get<bool>();
}

void read_added_tokens_decoder(const Json& config, TokenizerSpec& spec) {
  const auto list = config.find("added_tokens_decoder");
  if (list == config.end() || !list->is_object()) return;
  for (const auto& [key, entry] : list->items()) {
    AddedToken token;
    const auto content = entry.find("content");
    const bool digits =
        !key.empty() && key.size() <= 8 && key.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || content == entry.end() || !content->is_string())
      fail(ErrorCode::kCorrupt, "{}: expected added_tokens_decoder to map ids to tokens, got the key {}",
           spec.name, quote(key));
    token.id = std::stoi(key);
    token.content = content->get<std::string>();
    token.special = flag(entry, "special", false);
    token.lstrip = flag(entry, "lstrip", false);
    token.rstrip = flag(entry, "rstrip", false);
    token.single_word = flag(entry, "single_word", false);
    set_added_token(spec, std::move(token));
  }
}

void read_added_tokens_json(const std::string& path, TokenizerSpec& spec) {
  const Json added = parse_json_file(path);
  if (!added.is_object())
    fail(ErrorCode::kCorrupt, "{}: expected an object of tokens with ids", quote(path, 200));
  for (const auto& [content, id] : added.items()) {
    if (!id.is_number_integer() || id.get<double>() < 0 || id.get<double>() > 1e8)
      fail(ErrorCode::kCorrupt, "{}: expected an id for the added token {}", quote(path, 200),
           quote(content));
    AddedToken token;
    token.content = content;
    token.id = id.get<int32_t>();
    set_added_token(spec, std::move(token));
  }
}

// "bos_token": "<s>" or {"content": "<s>", …}. Absent or null: unchanged.
void take_named_token(const Json& config, const char* key, const TokenizerSpec& spec, int32_t& id) {
  const auto it = config.find(key);
  if (it == config.end()) return;
  const Json* value = &*it;
  if (value->is_object() && value->contains("content")) value = &(*value)["content"];
  if (!value->is_string()) return;
  const int32_t found = find_token(spec, value->get<std::string>());
  if (found >= 0) id = found;
}

void read_config(const std::string& path, bool is_sentencepiece, TokenizerSpec& spec) {
  const Json config = parse_json_file(path);
  if (!config.is_object()) fail(ErrorCode::kCorrupt, "{}: expected a JSON object", quote(path, 200));
  if (is_sentencepiece) {
    read_added_tokens_decoder(config, spec);
    // transformers' fixed ("legacy": false) tokenizers put the dummy prefix in front of the whole text only.
    spec.prefix_first_only = !flag(config, "legacy", true);
    const auto name = config.find("tokenizer_class");
    if (name != config.end() && name->is_string() && name->get<std::string>().starts_with("T5")) {
      spec.add_bos = false;
      spec.add_eos = true;
    }
  }
  take_named_token(config, "bos_token", spec, spec.bos_id);
  take_named_token(config, "eos_token", spec, spec.eos_id);
  take_named_token(config, "pad_token", spec, spec.pad_id);
  spec.add_bos = flag(config, "add_bos_token", spec.add_bos);
  spec.add_eos = flag(config, "add_eos_token", spec.add_eos);
  for (const int32_t id : {spec.bos_id, spec.eos_id, spec.pad_id}) {
    if (id < 0 || static_cast<size_t>(id) >= spec.pieces.size()) continue;
    bool listed = false;
    for (const AddedToken& token : spec.added_tokens) listed |= token.id == id;
    const Piece& piece = spec.pieces[static_cast<size_t>(id)];
    if (listed || piece.type == PieceType::kControl || piece.text.empty()) continue;
    AddedToken token;
    token.id = id;
    token.content = piece.text;
    token.special = true;
    spec.added_tokens.push_back(std::move(token));
  }
}

}  // namespace

bool has_tokenizer(const std::string& folder) {
  return exists(folder + "/tokenizer.json") || exists(folder + "/tokenizer.model");
}

TokenizerSpec read_tokenizer_folder(const std::string& folder) {
  const std::string json = folder + "/tokenizer.json", model = folder + "/tokenizer.model";
  TokenizerSpec spec;
  bool is_sentencepiece = !exists(json);
  if (is_sentencepiece && !exists(model))
    fail(ErrorCode::kNotFound,
         "{}: expected tokenizer.json or tokenizer.model in the model's folder, got neither",
         quote(folder, 200));
  if (!is_sentencepiece) {
    try {
      spec = read_tokenizer_json(json);
    } catch (const Error& error) {
      // A step that is not built: the same tokenizer as tokenizer.model does as well, where the folder has
      // it.
      if (error.code() != ErrorCode::kUnsupported || !exists(model)) throw;
      is_sentencepiece = true;
    }
  }
  if (is_sentencepiece) {
    spec = read_sentencepiece_model(model);
    if (exists(folder + "/added_tokens.json")) read_added_tokens_json(folder + "/added_tokens.json", spec);
  }
  if (exists(folder + "/tokenizer_config.json"))
    read_config(folder + "/tokenizer_config.json", is_sentencepiece, spec);
  return spec;
}

}  // namespace turgo
