// What the distributor looks at in a node's answer before a byte of it goes on, and how it ends a stream
// whose node broke off.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace turgo {

// The value of the first "name": "text" in JSON, wherever it is nested. A name inside a string does not
// count: its quotes are escaped there.
std::optional<std::string> find_json_text(std::string_view json, std::string_view name);

// Whether an answer that calls itself `got` answers a request for `asked` ("" = any).
bool is_model(std::string_view got, std::string_view asked);

enum class StreamForm { kEvents, kLines };  // text/event-stream; JSON lines

// Lets whole events (or lines) through, so that an error can follow what was passed on.
class StreamGuard {
 public:
  explicit StreamGuard(StreamForm form) : form_(form) {}
  // What may go on now. An event larger than kMaxHeld goes on in pieces.
  std::string pass(std::string_view bytes);
  std::string rest();  // at the good end of a stream
  // The end of a stream that broke: closes a half event and says why, in the dialect of `path`.
  std::string broken(const std::string& path, const std::string& why);

 private:
  static constexpr size_t kMaxHeld = 256 << 10;
  StreamForm form_;
  std::string held_;
  bool is_inside_ = false;  // the beginning of an event went on without its end
};

}  // namespace turgo
