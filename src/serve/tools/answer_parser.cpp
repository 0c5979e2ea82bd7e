#include "serve/tools/answer_parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/options.h"
#include "serve/tools/call_scanner.h"
#include "serve/tools/pythonic.h"

namespace turgo {
namespace {

using Body = ToolFormat::Body;
using Kind = AnswerPart::Kind;

constexpr std::string_view kSpaces = " \n\r\t";
constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";

bool is_space(char c) {
  return kSpaces.find(c) != kSpaces.npos;
}

std::string trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(kSpaces);
  if (begin == text.npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1));
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool is_name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         c == '-';
}

}  // namespace

void ParsedAnswer::add(const AnswerPart& part) {
  if (part.kind == Kind::kContent) content += part.text;
  if (part.kind == Kind::kReasoning) reasoning += part.text;
  if (part.kind == Kind::kCall) calls.push_back({part.text, ""});
  if (part.kind == Kind::kArguments) calls.at(part.call).arguments += part.text;
}

struct AnswerParser::State {
  enum class Mode : uint8_t { kStart, kText, kReasoning, kBody, kName, kXmlKey, kXmlValue, kTail, kHeader };

  explicit State(const Options& o) : options(o), body(o.format ? o.format->body : Body::kNone) {
    if (o.format) text_markers = o.format->begins;
    if (o.format) text_markers.insert(text_markers.end(), o.format->dropped.begin(), o.format->dropped.end());
    if (o.thinks) text_markers.insert(text_markers.end(), {std::string(kThink), std::string(kThinkEnd)});
    if (body == Body::kHarmony)
      text_markers = {"<|channel|>", "<|start|>",   "<|end|>",      "<|return|>",
                      "<|call|>",    "<|message|>", "<|constrain|>"};
    bool may_call = o.format && o.format->at_start;
    if (o.starts_thinking && body != Body::kHarmony)
      mode = Mode::kReasoning;
    else
      mode = may_call ? Mode::kStart : Mode::kText;
  }

  void put(Kind kind, std::string text, size_t call = 0) {
    if (text.empty()) return;
    if (!parts.empty() && parts.back().kind == kind && parts.back().call == call && kind != Kind::kCall)
      parts.back().text += text;
    else
      parts.push_back({kind, std::move(text), call});
  }

  // Content or reasoning; the space at its end waits for more of it, and is dropped in front of a marker.
  void say(std::string_view text) {
    Kind kind = mode == Mode::kReasoning || harmony_reasons ? Kind::kReasoning : Kind::kContent;
    if (skips_space) {
      size_t begin = text.find_first_not_of(kSpaces);
      if (begin == text.npos) return;
      text.remove_prefix(begin);
      skips_space = false;
    }
    size_t last = text.find_last_not_of(kSpaces);
    if (last == text.npos) {
      space += text;
      return;
    }
    put(kind, space + std::string(text.substr(0, last + 1)));
    space = text.substr(last + 1);
  }
  void break_text() {
    space.clear();
    skips_space = true;
  }

  // Takes text up to the first marker out of `buffer`; -1 and all of it that can not begin one if there is
  // none.
  int take_until(const std::vector<std::string>& markers, std::string& before) {
    size_t at = buffer.npos;
    int which = -1;
    for (size_t i = 0; i < markers.size(); ++i) {
      size_t found = buffer.find(markers[i]);
      bool longer = found != buffer.npos && found == at && which >= 0 &&
                    markers[i].size() > markers[static_cast<size_t>(which)].size();
      if (found < at || longer) {
        at = found;
        which = static_cast<int>(i);
      }
    }
    if (which >= 0 && !ended) {  // a longer marker may still be growing at this place
      for (const std::string& marker : markers)
        if (marker.size() > buffer.size() - at && marker.starts_with(std::string_view(buffer).substr(at))) {
          before = buffer.substr(0, at);
          buffer.erase(0, at);
          return -1;
        }
    }
    if (which >= 0) {
      before = buffer.substr(0, at);
      buffer.erase(0, at + markers[static_cast<size_t>(which)].size());
      return which;
    }
    size_t keep = 0;
    if (!ended)
      for (const std::string& marker : markers)
        for (size_t n = std::min(marker.size() - 1, buffer.size()); n > keep; --n)
          if (std::string_view(buffer).substr(buffer.size() - n) == std::string_view(marker).substr(0, n)) {
            keep = n;
            break;
          }
    before = buffer.substr(0, buffer.size() - keep);
    buffer.erase(0, buffer.size() - keep);
    return -1;
  }

  void run() {
    while (step()) {
    }
  }

  bool step() {
    switch (mode) {
      case Mode::kStart:
        return step_start();
      case Mode::kText:
        return step_text();
      case Mode::kReasoning:
        return step_reasoning();
      case Mode::kHeader:
        return step_header();
      case Mode::kName:
        return step_name();
      case Mode::kBody:
        return body == Body::kPythonic ? step_pythonic() : step_json();
      case Mode::kXmlKey:
        return step_xml_key();
      case Mode::kXmlValue:
        return step_xml_value();
      case Mode::kTail:
        return step_tail();
    }
    return false;
  }

  // Is this answer a bare call?
  bool step_start() {
    size_t begin = buffer.find_first_not_of(kSpaces);
    if (begin == buffer.npos) {
      if (ended) mode = Mode::kText;
      return ended;
    }
    if (body == Body::kJson) {  // an object whose first key is one of a call's
      static constexpr std::string_view kKeys[] = {"\"name\"", "\"type\"", "\"function\"", "\"parameters\"",
                                                   "\"arguments\""};
      size_t first = buffer[begin] == '{' ? buffer.find_first_not_of(kSpaces, begin + 1) : 0;
      if (buffer[begin] == '{' && first == buffer.npos && !ended) return false;
      bool is_call = false, may_be = false;
      if (buffer[begin] == '{' && first != buffer.npos)
        for (std::string_view wanted : kKeys) {
          std::string_view rest = std::string_view(buffer).substr(first);
          is_call = is_call || rest.starts_with(wanted);
          may_be = may_be || (wanted.starts_with(rest) && !ended);
        }
      if (!is_call && may_be) return false;
      mode = Mode::kText;
      if (is_call) open_body();
      return true;
    }
    size_t at = begin + 1;
    if (buffer[begin] != '[') at = buffer.npos;
    while (at < buffer.size() && is_name_byte(buffer[at])) ++at;
    if (at == buffer.size() && !ended && at - begin < 200) return false;
    mode = Mode::kText;
    if (at < buffer.size() && at > begin + 1 && buffer[at] == '(') open_body();
    return true;
  }

  bool step_text() {
    std::string before;
    int which = take_until(text_markers, before);
    say(before);
    if (which < 0) return false;
    const std::string& marker = text_markers[static_cast<size_t>(which)];
    break_text();
    if (body == Body::kHarmony) {
      harmony_reasons = false;
      if (marker == "<|channel|>" || marker == "<|start|>") mode = Mode::kHeader;
    } else if (options.thinks && marker == kThink) {
      mode = Mode::kReasoning;
    } else if (options.format && std::find(options.format->begins.begin(), options.format->begins.end(),
                                           marker) != options.format->begins.end()) {
      opener = marker;
      body = options.format->body;
      open_body();
    }
    return true;
  }

  bool step_reasoning() {
    static const std::vector<std::string> kEnd = {std::string(kThinkEnd), std::string(kThink)};
    std::string before;
    int which = take_until(kEnd, before);
    say(before);
    if (which == 0) {
      break_text();
      mode = options.format && options.format->at_start ? Mode::kStart : Mode::kText;
    }
    return which >= 0;
  }

  // "analysis<|message|>", "commentary to=functions.f <|constrain|>json<|message|>",
  // "assistant<|channel|>final…"
  bool step_header() {
    static const std::vector<std::string> kEnd = {"<|message|>"};
    std::string before;
    int which = take_until(kEnd, before);
    header += before;
    if (which < 0) return false;
    std::string whole = std::exchange(header, "");
    size_t to = whole.find("to=functions.");
    if (to != whole.npos) {
      size_t begin = to + 13, end = begin;
      while (end < whole.size() && is_name_byte(whole[end])) ++end;
      begin_call(whole.substr(begin, end - begin));
      scanner = std::make_unique<CallScanner>(false);
      mode = Mode::kBody;
      return true;
    }
    size_t channel = whole.rfind("<|channel|>");
    std::string_view name = std::string_view(whole).substr(channel == whole.npos ? 0 : channel + 11);
    harmony_reasons = name.starts_with("analysis");
    mode = Mode::kText;
    return true;
  }

  void open_body() {
    raw.clear();
    named = false;
    switch (body) {
      case Body::kJson:
        scanner = std::make_unique<CallScanner>(true);
        mode = Mode::kBody;
        break;
      case Body::kPythonic:
        mode = Mode::kBody;
        break;
      case Body::kXml:
        mode = Mode::kName;
        break;
      default:
        mode = Mode::kName;
    }
  }

  void begin_call(std::string name) {
    put(Kind::kCall, name.empty() ? "unknown" : name, num_calls);
    function = std::move(name);
    ++num_calls;
    num_arguments = 0;
    named = true;
  }
  void argue(std::string text) { put(Kind::kArguments, std::move(text), num_calls - 1); }
  // What was no call after all is said as text, without its markers.
  void give_up() {
    mode = Mode::kText;
    if (!named) {
      skips_space = false;
      buffer.insert(0, std::exchange(raw, ""));
    }
    scanner.reset();
  }

  bool step_json() {
    size_t used = 0;
    auto result = CallScanner::Result::kMore;
    while (used < buffer.size() && result == CallScanner::Result::kMore) {
      char c = buffer[used];
      // Objects may stand in a list, or in a code fence.
      bool fresh = raw.empty() && !named && body == Body::kJson;
      if (fresh && (is_space(c) || c == '[' || c == ',' || c == ']')) {
        if (c == ']') break;
        ++used;
        continue;
      }
      result = scanner->take(c);
      if (result == CallScanner::Result::kBad) break;
      ++used;
      if (!named) raw += c;
      if (body == Body::kJson && !named && scanner->has_name()) {
        begin_call(scanner->name());
        raw.clear();
      }
    }
    if (named) argue(scanner->take_arguments());
    bool stuck = used < buffer.size() && result != CallScanner::Result::kDone;
    buffer.erase(0, used);
    if (result == CallScanner::Result::kDone) {
      if (named && body == Body::kJson && !scanner->saw_arguments()) argue("{}");
      if (!named) return give_up(), true;
      mode = Mode::kTail;
      return true;
    }
    if (stuck) return named ? (mode = Mode::kTail, true) : (give_up(), true);
    return false;
  }

  // Up to the call's end marker nothing is content. In a list another object may follow.
  bool step_tail() {
    if (body == Body::kHarmony) return mode = Mode::kText, true;
    const std::string& end = options.format->end;
    bool lists = body == Body::kJson || body == Body::kNameJson;
    size_t at = buffer.find_first_not_of(lists ? " \n\r\t,;" : " \n\r\t");
    if (at == buffer.npos) {
      buffer.clear();
      return false;
    }
    buffer.erase(0, at);
    if (lists && buffer[0] == '{' && body == Body::kJson) return open_body(), true;
    if (lists && (buffer[0] == ']' || buffer[0] == '`' || buffer[0] == '}')) return buffer.erase(0, 1), true;
    if (!end.empty() && std::string_view(buffer).starts_with(end)) {
      buffer.erase(0, end.size());
      break_text();
      return mode = Mode::kText, true;
    }
    if (!end.empty() && std::string_view(end).starts_with(buffer) && !ended) return false;
    break_text();
    return mode = Mode::kText, true;
  }

  bool step_pythonic() {
    const std::string& end = options.format->end;
    size_t at = end.empty() ? buffer.npos : buffer.find(end, scanned);
    bool closed = at != buffer.npos;
    // Without an end marker the list's own bracket ends it, outside of strings.
    size_t own_end = closed ? at : scan_brackets();
    if (!closed && own_end == buffer.npos) {
      scanned = buffer.size() > end.size() ? buffer.size() - end.size() : 0;
      if (!ended) return false;
      own_end = buffer.size();
    }
    std::string text = buffer.substr(0, own_end);
    buffer.erase(0, closed ? at + end.size() : own_end);
    scanned = bracket_at = 0;
    bracket_depth = 0;
    quote = 0;
    std::string_view code = text;
    auto calls = parse_python_calls(code);
    mode = Mode::kText;
    if (!calls) {
      say(text);
      return true;
    }
    for (const PythonCall& call : *calls) {
      begin_call(call.name);
      argue(call.arguments);
    }
    break_text();
    mode = closed ? Mode::kText : Mode::kTail;
    return true;
  }

  size_t scan_brackets() {
    for (; bracket_at < buffer.size(); ++bracket_at) {
      char c = buffer[bracket_at];
      if (quote) {
        if (c == '\\')
          ++bracket_at;
        else if (c == quote)
          quote = 0;
      } else if (c == '"' || c == '\'') {
        quote = c;
      } else if (c == '[' || c == '(' || c == '{') {
        ++bracket_depth;
      } else if ((c == ']' || c == ')' || c == '}') && --bracket_depth == 0 && c == ']') {
        return bracket_at + 1;
      }
    }
    return buffer.npos;
  }

  bool step_name() {
    static const std::vector<std::string> kXmlEnds = {">", "</tool_call>", "{", "<parameter="};
    static const std::vector<std::string> kGlmEnds = {"\n", "<arg_key>", "</tool_call>"};
    if (body == Body::kXml && opener != "<function=") {  // <tool_call> stands around it
      static const std::vector<std::string> kOpen = {"<function=", "</tool_call>"};
      std::string before;
      int which = take_until(kOpen, before);
      raw += before;
      if (which < 0 && trimmed(raw).empty()) return false;
      if (which != 0) return give_up(), true;
      opener = "<function=";
      raw.clear();
      return true;
    }
    if (body == Body::kGlm && raw.empty()) {  // the name may stand on the next line
      size_t at = buffer.find_first_not_of(kSpaces);
      buffer.erase(0, at);
      if (buffer.empty()) return false;
    }
    if (body == Body::kNameJson) return step_name_json();
    std::string before;
    int which = take_until(body == Body::kXml ? kXmlEnds : kGlmEnds, before);
    raw += before;
    if (which < 0) return false;
    begin_call(trimmed(raw));
    raw.clear();
    opener.clear();
    if (body == Body::kXml) buffer.insert(0, which == 3 ? "<parameter=" : which == 1 ? "</tool_call>" : "");
    if (body == Body::kGlm && which == 2) {
      argue("{}");
      break_text();
      mode = Mode::kText;
      return true;
    }
    if (body == Body::kGlm && which == 1) buffer.insert(0, "<arg_key>");
    mode = Mode::kXmlKey;
    return true;
  }

  // NAME [ARGS] {…}; also the list of older Mistral models and DeepSeek's fence.
  bool step_name_json() {
    std::string_view separator = options.format->separator;
    if (raw.empty()) {
      size_t at = buffer.find_first_not_of(kSpaces);
      buffer.erase(0, at);
      if (buffer.empty()) return false;
      if (buffer[0] == '[' || buffer[0] == '{') return open_list(), true;
    }
    static const std::vector<std::string> kBrace = {"{"};
    std::string before;
    int which = take_until(kBrace, before);
    raw += before;
    if (which < 0) {
      if (raw.size() > 1000) return give_up(), true;
      return false;
    }
    std::string name = raw.substr(0, raw.find(separator));
    name = trimmed(name.substr(0, name.find("[CALL_ID]")));
    name = trimmed(name.substr(0, name.find_first_of("\n`")));
    buffer.insert(0, "{");
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_name_byte)) return give_up(), true;
    begin_call(name);
    raw.clear();
    scanner = std::make_unique<CallScanner>(false);
    mode = Mode::kBody;
    return true;
  }
  void open_list() {
    body = Body::kJson;  // [{"name": …, "arguments": …}]
    open_body();
  }

  bool step_xml_key() {
    static const std::vector<std::string> kXml = {"<parameter=", "</function>", "</tool_call>"};
    static const std::vector<std::string> kGlm = {"<arg_key>", "</tool_call>"};
    const auto& markers = body == Body::kXml ? kXml : kGlm;
    std::string before;
    int which = take_until(markers, before);
    if (which < 0) return false;
    if (which == 0) {
      raw.clear();
      key.clear();
      has_key = false;
      mode = Mode::kXmlValue;
      return true;
    }
    argue(num_arguments == 0 ? "{}" : "}");
    break_text();
    mode = body == Body::kXml && which == 1 ? Mode::kTail : Mode::kText;
    return true;
  }

  bool step_xml_value() {
    static const std::vector<std::string> kXmlKeyEnd = {">"}, kGlmKeyEnd = {"</arg_key>"};
    static const std::vector<std::string> kXmlEnd = {"</parameter>"}, kGlmEnd = {"</arg_value>"},
                                          kGlmOpen = {"<arg_value>"};
    std::string before;
    if (!has_key) {
      if (take_until(body == Body::kXml ? kXmlKeyEnd : kGlmKeyEnd, before) < 0) {
        key += before;
        return false;
      }
      key = trimmed(key + before);
      has_key = true;
      value_open = body == Body::kXml;
      return true;
    }
    if (!value_open) {
      if (take_until(kGlmOpen, before) < 0) return false;
      value_open = true;
      return true;
    }
    int which = take_until(body == Body::kXml ? kXmlEnd : kGlmEnd, before);
    raw += before;
    if (which < 0) return false;
    argue((num_arguments++ == 0 ? "{" : ", ") + dumped(Json(key)) + ": " + value_json());
    raw.clear();
    mode = Mode::kXmlKey;
    return true;
  }

  std::string value_json() {
    std::string_view value = raw;
    if (body == Body::kXml && value.starts_with('\n')) value.remove_prefix(1);
    if (body == Body::kXml && value.ends_with('\n')) value.remove_suffix(1);
    std::string type = options.type_of ? options.type_of(options.tools, function, key) : "";
    if (type != "string") {
      Json parsed = Json::parse(value, nullptr, false);
      if (!parsed.is_discarded() && (type.empty() ? !parsed.is_string() : true)) return dumped(parsed);
    }
    return dumped(Json(std::string(value)));
  }

  Options options;
  Body body;
  std::vector<std::string> text_markers;
  Mode mode;
  std::vector<AnswerPart> parts;
  std::string buffer, space, header, raw, key, function, opener;
  std::unique_ptr<CallScanner> scanner;
  bool ended = false, skips_space = false, harmony_reasons = false, named = false, has_key = false,
       value_open = false;
  size_t num_calls = 0, num_arguments = 0, scanned = 0, bracket_at = 0;
  int64_t bracket_depth = 0;
  char quote = 0;
};

AnswerParser::AnswerParser(const Options& options) : state_(std::make_unique<State>(options)) {
  state_->skips_space = options.starts_thinking;
}
AnswerParser::~AnswerParser() = default;
AnswerParser::AnswerParser(AnswerParser&&) noexcept = default;

std::vector<AnswerPart> AnswerParser::add(std::string_view text) {
  // Small pieces keep the buffer short, and what is searched again with it.
  for (size_t begin = 0; begin < text.size(); begin += 256) {
    state_->buffer += text.substr(begin, 256);
    state_->run();
  }
  return std::exchange(state_->parts, {});
}

std::vector<AnswerPart> AnswerParser::finish() {
  State& s = *state_;
  s.ended = true;
  s.run();
  // Space at the end of a plain answer is part of it.
  if (s.num_calls == 0 && s.mode != State::Mode::kReasoning && !s.harmony_reasons)
    s.put(Kind::kContent, std::exchange(s.space, ""));
  return std::exchange(s.parts, {});
}

size_t AnswerParser::num_calls() const {
  return state_->num_calls;
}

}  // namespace turgo
