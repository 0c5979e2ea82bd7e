// What strangers send through the distributor. Byte 0 chooses: a node's stream in pieces of any size (what
// goes on is what came, and whole events alone before the end), a node's JSON, a node's model list, or a
// request.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/error.h"
#include "serve/api_error.h"
#include "serve/proxy/answer_check.h"
#include "serve/proxy/health_checker.h"
#include "serve/proxy/request_facts.h"

namespace {

void feed_stream(std::string_view text, size_t step) {
  turgo::StreamGuard guard(step % 2 ? turgo::StreamForm::kEvents : turgo::StreamForm::kLines);
  std::string out;
  for (size_t at = 0; at < text.size(); at += step) out += guard.pass(text.substr(at, step));
  CHECK(text.starts_with(out));
  CHECK(out.empty() || out.ends_with('\n'));
  out += guard.rest();
  CHECK(out == text);
  CHECK(guard.broken("/v1/completions", "gone").ends_with('\n'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1 || size > (1 << 16)) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0] % 4) {
      case 0:
        feed_stream(text, 1 + data[0] / 4);
        break;
      case 1:
        turgo::find_json_text(text, "model");
        break;
      case 2:
        turgo::read_model_list(std::string(text));
        break;
      default: {
        turgo::HttpRequest request;
        request.path = data[0] & 4 ? "/v1/chat/interactive" : "/api/chat";
        request.body = std::string(text);
        turgo::RequestFacts facts = turgo::read_request_facts(request);
        CHECK(facts.chain.size() <= turgo::kMaxChunks);
      }
    }
  } catch (const turgo::Error&) {
  } catch (const turgo::ApiError&) {
  }
  return 0;
}
