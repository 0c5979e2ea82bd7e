#include "serve/tools/call_grammar.h"

#include <algorithm>

#include "serve/generation.h"
#include "serve/grammar/response_format.h"

namespace turgo {
namespace {

// Between two tokens of JSON; without a limit small models write spaces until their answer is cut.
constexpr int kMaxWhitespace = 20;
// Calls in one list; XGrammar wants an end that it can see where there is no limit.
constexpr int kMaxListed = 64;

// Builds XGrammar's description (https://xgrammar.mlc.ai/docs/tutorials/structural_tag) for one tokenizer.
class CallGrammar {
 public:
  CallGrammar(const ToolRequest& request, const ToolFormat& format, const Tokenizer& tokenizer,
              bool any_objects)
      : request_(request), format_(format), tokenizer_(tokenizer), any_objects_(any_objects) {
    std::vector<std::string> all = {format.end, format.separator};
    for (const auto* list : {&format.begins, &format.dropped})
      all.insert(all.end(), list->begin(), list->end());
    for (const std::string& marker : all) {
      int32_t id = marker.empty() ? -1 : tokenizer.token_to_id(marker);
      if (id >= 0 && tokenizer.is_special(id)) markers_.emplace_back(marker, id);
    }
  }

  Json format() {
    for (const CallForm& form : format_.calls)
      if (is_spelled(form)) add(form);
    Json out = {{"tags", std::move(tags_)}};
    if (request_.must_call()) {
      out["type"] = "tags_with_separator";
      out["separator"] = trigger_.is_number() ? "" : "\n";
      out["at_least_one"] = true;
      out["stop_after_first"] = is_single();
      return out;
    }
    out["type"] = trigger_.is_number() ? "token_triggered_tags" : "triggered_tags";
    out[trigger_.is_number() ? "trigger_tokens" : "triggers"] = Json::array({trigger_});
    out["at_least_one"] = out["stop_after_first"] = false;
    return out;
  }

 private:
  bool is_single() const { return !request_.is_parallel || !request_.named.empty(); }
  // A model whose vocabulary lacks the separator writes the format's other form.
  bool is_spelled(const CallForm& form) const {
    const std::string& separator = format_.separator;
    return separator.empty() || form.begin.find(separator) == form.begin.npos ||
           tokenizer_.token_to_id(separator) >= 0;
  }

  // "[TOOL_CALLS]f[ARGS]" as tokens and the text between them.
  void append(Json& elements, const std::string& text) const {
    std::string plain;
    auto end_plain = [&] {
      if (!plain.empty()) elements.push_back({{"type", "const_string"}, {"value", std::exchange(plain, "")}});
    };
    for (size_t at = 0; at < text.size();) {
      auto marker = std::find_if(markers_.begin(), markers_.end(), [&](const auto& one) {
        return std::string_view(text).substr(at).starts_with(one.first);
      });
      if (marker == markers_.end()) {
        plain += text[at++];
        continue;
      }
      end_plain();
      elements.push_back({{"type", "token"}, {"token", marker->second}});
      at += marker->first.size();
    }
    end_plain();
  }

  Json schema_of(const Json& function, const std::string& style) const {
    Json schema = {{"type", "object"}};
    bool is_strict = function.contains("strict");
    if (is_strict || !any_objects_) try {
        check_schema(function["parameters"], "tools");
        schema = function["parameters"];
      } catch (const ApiError&) {
        if (is_strict) throw;
      }
    return {{"type", "json_schema"},
            {"json_schema", std::move(schema)},
            {"style", style},
            {"max_whitespace_cnt", kMaxWhitespace}};
  }

  void append_call(Json& elements, const CallForm& form, const Json& function, const std::string& in_front,
                   const std::string& behind) const {
    std::string begin = in_front + form.begin;
    begin.replace(begin.find("$NAME"), 5, function["name"].get_ref<const std::string&>());
    append(elements, begin);
    elements.push_back(schema_of(function, form.style));
    append(elements, form.end + behind);
  }

  void add(const CallForm& form) {
    Json calls = Json::array();
    for (const Json& tool : request_.tools) {
      const Json& function = tool["function"];
      if (request_.choice == ToolRequest::Choice::kNamed && function["name"] != request_.named) continue;
      bool is_listed = !form.between.empty();
      Json elements = Json::array();
      append_call(elements, form, function, is_listed ? "" : form.open, is_listed ? "" : form.close);
      if (is_listed)
        calls.push_back({{"type", "sequence"}, {"elements", std::move(elements)}});
      else
        add_tag(std::move(elements));
    }
    if (form.between.empty()) return;
    Json any = {{"type", "or"}, {"elements", std::move(calls)}};
    Json elements = Json::array(), more = Json::array();
    append(elements, form.open);
    elements.push_back(any);
    append(more, form.between);
    more.push_back(std::move(any));
    if (!is_single())
      elements.push_back({{"type", "repeat"},
                          {"min", 0},
                          {"max", kMaxListed - 1},
                          {"content", {{"type", "sequence"}, {"elements", std::move(more)}}}});
    append(elements, form.close);
    add_tag(std::move(elements));
  }

  void add_tag(Json elements) {
    Json begin = std::move(elements[0]);
    elements.erase(0);
    if (begin["type"] == "token") {
      trigger_ = begin["token"];
    } else {
      std::string text = begin["value"];
      for (const std::string& marker : format_.begins)
        if (text.starts_with(marker) && (trigger_text_.empty() || marker.size() < trigger_text_.size()))
          trigger_ = trigger_text_ = marker;
      begin = std::move(text);
    }
    tags_.push_back({{"type", "tag"},
                     {"begin", std::move(begin)},
                     {"content", {{"type", "sequence"}, {"elements", std::move(elements)}}},
                     {"end", ""}});
  }

  const ToolRequest& request_;
  const ToolFormat& format_;
  const Tokenizer& tokenizer_;
  bool any_objects_;
  std::vector<std::pair<std::string, int32_t>> markers_;  // that are control tokens
  Json tags_ = Json::array();
  Json trigger_;  // an id, or trigger_text_: the shortest marker that begins a call
  std::string trigger_text_;
};

}  // namespace

GrammarSpec call_grammar(const ToolRequest& request, const ToolFormat& format, const Tokenizer& tokenizer,
                         bool any_objects) {
  Json spec = {{"type", "structural_tag"},
               {"format", CallGrammar(request, format, tokenizer, any_objects).format()}};
  return {GrammarSpec::Kind::kStructuralTag, dump_json(spec)};
}

}  // namespace turgo
