// json.dumps(value, ensure_ascii=…, indent=…, separators=…, sort_keys=…) for values of the template language.
#include <algorithm>
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/runtime.h"

namespace turgo::jinja {

namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& rt, const JsonStyle& style) : rt_(rt), style_(style), out_(rt) {}

  void write(const Value& v, bool input, int depth) {
    rt_.step();
    rt_.check_value_depth(depth);
    bool marked = input || v.input;
    switch (v.kind) {
      case Kind::kNone:
        out_.add("null", marked);
        return;
      case Kind::kBool:
        out_.add(v.as.boolean ? "true" : "false", marked);
        return;
      case Kind::kInt:
        out_.add(int_text(v.as.integer), marked);
        return;
      case Kind::kFloat:
        out_.add(number_text(v.as.number), marked);
        return;
      case Kind::kString:
        write_string(*v.str, input);
        return;
      case Kind::kList:
      case Kind::kTuple:
        write_list(v.list(), input || v.list().input, depth);
        return;
      case Kind::kDict:
        write_dict(v.dict(), input || v.dict().input, depth);
        return;
      default:
        rt_.type_error("Object of type {} is not JSON serializable", type_name(v));
    }
  }

  StrRef finish() { return out_.finish(); }

 private:
  static std::string number_text(double d) {
    if (std::isnan(d)) return "NaN";
    if (std::isinf(d)) return d < 0 ? "-Infinity" : "Infinity";
    return float_text(d);
  }

  void new_line(bool input, int depth) {
    if (!style_.indent) return;
    out_.add("\n", input);
    out_.add_repeated(*style_.indent, depth, input);
  }

  void write_list(const List& list, bool input, int depth) {
    if (list.items.empty()) return out_.add("[]", input);
    out_.add("[", input);
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_.add(style_.item_separator, input);
      new_line(input, depth + 1);
      write(list.items[i], input, depth + 1);
    }
    new_line(input, depth);
    out_.add("]", input);
  }

  // JSON keys are strings; json.dumps turns numbers, booleans and None into them.
  void write_key(const Value& key, bool input) {
    bool marked = input || key.input;
    switch (key.kind) {
      case Kind::kString:
        write_string(*key.str, input);
        return;
      case Kind::kNone:
        out_.add("\"null\"", marked);
        return;
      case Kind::kBool:
        out_.add(key.as.boolean ? "\"true\"" : "\"false\"", marked);
        return;
      case Kind::kInt:
        out_.add(fmt::format("\"{}\"", int_text(key.as.integer)), marked);
        return;
      case Kind::kFloat:
        out_.add(fmt::format("\"{}\"", number_text(key.as.number)), marked);
        return;
      default:
        rt_.type_error("keys must be str, int, float, bool or None, not {}", type_name(key));
    }
  }

  void write_dict(const Dict& dict, bool input, int depth) {
    if (dict.entries.empty()) return out_.add("{}", input);
    std::vector<size_t> order(dict.entries.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (style_.sort_keys) {
      std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return less(rt_, dict.entries[a].first, dict.entries[b].first);
      });
    }
    out_.add("{", input);
    bool first = true;
    for (size_t i : order) {
      if (!first) out_.add(style_.item_separator, input);
      first = false;
      new_line(input, depth + 1);
      write_key(dict.entries[i].first, input);
      out_.add(style_.key_separator, input);
      write(dict.entries[i].second, input, depth + 1);
    }
    new_line(input, depth);
    out_.add("}", input);
  }

  static std::string escape(char32_t c, bool ensure_ascii) {
    switch (c) {
      case '"':
        return "\\\"";
      case '\\':
        return "\\\\";
      case '\n':
        return "\\n";
      case '\r':
        return "\\r";
      case '\t':
        return "\\t";
      case '\f':
        return "\\f";
      case '\b':
        return "\\b";
      default:
        break;
    }
    auto code = static_cast<uint32_t>(c);
    if (code < 0x20) return fmt::format("\\u{:04x}", code);
    if (!ensure_ascii || code < 0x7F) return {};
    if (code < 0x10000) return fmt::format("\\u{:04x}", code);
    code -= 0x10000;
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF));
  }

  void write_string(const Str& s, bool input) {
    // The quotes of a string that is input at its edge belong to it: nothing a user writes can join the
    // template's text.
    bool quotes = input || (s.any_input() && s.all_input());
    out_.add("\"", quotes);
    InputCursor marks(s);
    size_t run = 0;
    auto flush = [&](size_t end) {
      if (input) {
        out_.add(std::string_view(s.text).substr(run, end - run), true);
      } else {
        out_.add(s, run, end);
      }
    };
    for (size_t at = 0; at < s.text.size();) {
      size_t size = Utf8::size_at(s.text, at);
      std::string escaped = escape(Utf8::decode(s.text, at), style_.ensure_ascii);
      if (!escaped.empty()) {
        flush(at);
        out_.add(escaped, input || marks.at(at));
        run = at + size;
      }
      at += size;
    }
    flush(s.text.size());
    out_.add("\"", quotes);
  }

  Runtime& rt_;
  const JsonStyle& style_;
  StrBuilder out_;
};

}  // namespace

StrRef to_json(Runtime& rt, const Value& v, const JsonStyle& style) {
  JsonWriter writer(rt, style);
  writer.write(v, false, 0);
  return writer.finish();
}

}  // namespace turgo::jinja
