#include "text/tokenizer_json_document.h"

#include "core/error.h"

namespace turgo {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxEntries = size_t{1} << 24;
constexpr size_t kMaxOtherValues = size_t{1} << 20;
constexpr size_t kMaxKeys = 8192;  // of one object: an ordered object is searched linearly

class Handler final : public nlohmann::json_sax<Json> {
 public:
  Handler(TokenizerJsonDocument& document, const std::string& name) : document_(document), name_(name) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return number(v, v, static_cast<double>(v)); }
  bool number_unsigned(number_unsigned_t v) override {
    return number(v, v > INT64_MAX ? INT64_MAX : static_cast<int64_t>(v), static_cast<double>(v));
  }
  bool number_float(number_float_t v, const string_t&) override { return number(v, -1, v); }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& v) override {
    switch (part_) {
      case Part::kVocabList:
        if (depth_ != 4 || have_text_) wrong("model.vocab");
        entry_.text = std::move(v);
        have_text_ = true;
        return true;
      case Part::kMerges:
        if (depth_ == 3) {
          const size_t space = v.find(' ');
          if (space == std::string::npos || v.find(' ', space + 1) != std::string::npos)
            wrong("model.merges");
          add_merge(v.substr(0, space), v.substr(space + 1));
        } else {
          merge_.push_back(std::move(v));
        }
        return true;
      case Part::kVocabObject:
        wrong("model.vocab");
      case Part::kRest:
        break;
    }
    return value(std::move(v));
  }

  bool start_object(size_t) override {
    enter();
    if (part_ != Part::kRest) wrong("model.vocab or model.merges");
    if (depth_ == 3 && path_[1] == "model" && path_[2] == "vocab") {
      part_ = Part::kVocabObject;
      document_.has_vocab = true;
      return true;
    }
    return open(Json::object());
  }
  bool start_array(size_t) override {
    enter();
    if (part_ == Part::kVocabList && depth_ == 4) {
      have_text_ = have_score_ = false;
      return true;
    }
    if (part_ == Part::kMerges && depth_ == 4) {
      merge_.clear();
      return true;
    }
    if (part_ != Part::kRest) wrong("model.vocab or model.merges");
    if (depth_ == 3 && path_[1] == "model" && (path_[2] == "vocab" || path_[2] == "merges")) {
      part_ = path_[2] == "vocab" ? Part::kVocabList : Part::kMerges;
      (part_ == Part::kMerges ? document_.has_merges : document_.has_vocab) = true;
      document_.vocab_is_list |= part_ == Part::kVocabList;
      return true;
    }
    return open(Json::array());
  }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }

  bool key(string_t& v) override {
    if (part_ == Part::kVocabObject) {
      entry_.text = std::move(v);
      return true;
    }
    if (depth_ <= 2) path_[depth_] = v;
    if (stack_.back()->size() >= kMaxKeys) wrong("an object with too many keys");
    key_ = std::move(v);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON at byte {}: {}", name_, position, quote(error.what(), 160));
  }

 private:
  enum class Part { kRest, kVocabObject, kVocabList, kMerges };

  [[noreturn]] void wrong(const char* what) const {
    fail(ErrorCode::kCorrupt,
         "{}: expected a vocabulary of names with ids (or [name, score] pairs) and merges of two names, got "
         "another "
         "shape in {}",
         name_, what);
  }

  void enter() {
    if (++depth_ > kMaxDepth)
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {} levels", name_, kMaxDepth);
  }

  bool leave() {
    --depth_;
    if (part_ == Part::kRest) {
      stack_.pop_back();
      return true;
    }
    if (depth_ == 2) {
      part_ = Part::kRest;
      return true;
    }
    if (part_ == Part::kVocabList) {
      if (!have_text_ || !have_score_) wrong("model.vocab");
      entry_.id = static_cast<int64_t>(document_.vocab.size());
      add_entry();
    } else {
      if (merge_.size() != 2) wrong("model.merges");
      add_merge(std::move(merge_[0]), std::move(merge_[1]));
    }
    return true;
  }

  void add_entry() {
    if (document_.vocab.size() >= kMaxEntries) fail(ErrorCode::kCorrupt, "{}: more than 2^24 tokens", name_);
    document_.vocab.push_back(std::move(entry_));
  }
  void add_merge(std::string left, std::string right) {
    if (document_.merges.size() >= kMaxEntries) fail(ErrorCode::kCorrupt, "{}: more than 2^24 merges", name_);
    document_.merges.emplace_back(std::move(left), std::move(right));
  }

  template <class T>
  bool number(T v, int64_t integer, double real) {
    if (part_ == Part::kVocabObject) {
      entry_.id = integer;
      entry_.score = 0;
      add_entry();
      return true;
    }
    if (part_ == Part::kVocabList) {
      if (depth_ != 4 || !have_text_ || have_score_) wrong("model.vocab");
      entry_.score = real;
      have_score_ = true;
      return true;
    }
    return value(v);
  }

  Json* place(Json v) {
    if (++num_values_ > kMaxOtherValues) fail(ErrorCode::kCorrupt, "{}: more than 2^20 values", name_);
    if (stack_.empty()) {
      document_.rest = std::move(v);
      return &document_.rest;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    return &(parent[key_] = std::move(v));
  }
  template <class T>
  bool value(T&& v) {
    if (part_ != Part::kRest) wrong("model.vocab or model.merges");
    place(Json(std::forward<T>(v)));
    return true;
  }
  bool open(Json v) {
    stack_.push_back(place(std::move(v)));
    return true;
  }

  TokenizerJsonDocument& document_;
  const std::string& name_;
  Part part_ = Part::kRest;
  int depth_ = 0;
  std::string path_[3];  // the key under which depth 1 and 2 were entered
  std::vector<Json*> stack_;
  std::string key_;
  size_t num_values_ = 0;
  TokenizerJsonDocument::VocabEntry entry_{};
  bool have_text_ = false, have_score_ = false;
  std::vector<std::string> merge_;
};

}  // namespace

TokenizerJsonDocument parse_tokenizer_json_document(std::string_view text, const std::string& name) {
  TokenizerJsonDocument document;
  Handler handler(document, name);
  const bool done = Json::sax_parse(text.begin(), text.end(), &handler);
  if (!done || !document.rest.is_object())
    fail(ErrorCode::kCorrupt, "{}: expected a JSON object (tokenizer.json), got something else", name);
  return document;
}

}  // namespace turgo
