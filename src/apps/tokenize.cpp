// `turgo tokenize`: text to ids and back. Reads the tokenizer only, not the weights.
#include "apps/command.h"
#include "apps/input.h"
#include "apps/json_output.h"
#include "apps/token_ids.h"
#include "core/error.h"
#include "io/model_file.h"
#include "pipeline/load_tokenizer.h"

namespace turgo {
namespace {

struct Tokenize {
  std::string model, text, decode;
  bool json = false, special = false;
};

void fill(Tokenize& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("text", &o.text, "text to encode; - reads stdin").positional(false);
  list.add("decode", &o.decode, "decode these ids instead: 1,5,7").label("IDS");
  list.add("special", &o.special,
           "read control tokens in the text as such and put BOS in front; show them in --decode");
  list.add("json", &o.json, "print JSON");
}

void print_ids(const Tokenize& o, const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  if (!o.json) return write_stdout(print_token_ids(ids) + "\n");
  Json pieces = Json::array();
  for (int32_t id : ids) pieces.push_back(tokenizer.id_to_token(id));
  write_json({{"token_ids", ids}, {"tokens", pieces}, {"num_tokens", ids.size()}});
}

int run(const Tokenize& o) {
  auto file = open_model(o.model);
  auto tokenizer = load_tokenizer(*file);
  if (!tokenizer) fail(ErrorCode::kUnsupported, "{}: the model has no tokenizer", quote(o.model, 200));
  if (!o.decode.empty()) {
    std::string text =
        tokenizer->decode(parse_token_ids(o.decode, "--decode", tokenizer->vocab_size()), !o.special);
    o.json ? write_json({{"text", text}}) : write_stdout(text + "\n");
    return 0;
  }
  std::vector<int32_t> ids = tokenizer->encode(read_text_argument(o.text), o.special);
  if (o.special && tokenizer->add_bos() && (ids.empty() || ids.front() != tokenizer->bos_id()))
    ids.insert(ids.begin(), tokenizer->bos_id());
  print_ids(o, *tokenizer, ids);
  return 0;
}

}  // namespace

Command tokenize_command() {
  return make_command("tokenize", "Show the token ids of a text, or the text of ids", fill, run);
}

}  // namespace turgo
