// The other interfaces of chat are dialects of OpenAI's: a request is translated to /v1/chat/completions (or
// /v1/completions), and what comes back to the dialect's own events. So whatever OpenAI's route learns
// (tools, reasoning, structured output) all of them speak.
#pragma once

#include <memory>
#include <string>

#include "serve/api_server.h"

namespace turgo {

class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual std::string content_type() const { return "text/event-stream"; }  // of a stream
  virtual std::string begin() { return ""; }
  virtual std::string chunk(const Json& chunk) = 0;  // of OpenAI's stream, usage chunk included
  virtual std::string end() = 0;
  virtual std::string failure(const Json& error) = 0;  // in mid-stream; `error` is OpenAI's {"message", …}
  virtual std::string whole(const Json& completion) = 0;
  virtual std::string error_body(int status, const Json& error) = 0;
};

using InnerRoute = std::unique_ptr<Responder> (*)(ApiServer&, const Call&);

// Asks `route` with `body` ("stream" and "stream_options" are set here).
std::unique_ptr<Responder> respond_translated(ApiServer& server, const Call& call, InnerRoute route,
                                              Json body, std::unique_ptr<Dialect> dialect, bool streams);

// Runs `translate` and turns what it throws into the dialect's form of an error.
template <class F>
std::unique_ptr<Responder> in_dialect(Dialect& dialect, F&& translate) {
  auto refused = [&](const ApiError& error) {
    HttpResponse response = error_response(error);
    response.body = dialect.error_body(error.status, Json::parse(response.body)["error"]);
    return respond_with(std::move(response));
  };
  try {
    return translate();
  } catch (const ApiError& error) {
    return refused(error);
  } catch (const Error& error) {
    return refused(to_api_error(error, false));
  }
}

// Members of OpenAI's answers that may be absent: a null Json, "" or 0 instead.
const Json& member(const Json& object, const char* name);
std::string text_of(const Json& object, const char* name);
int64_t number_of(const Json& object, const char* name);
// choices[0]; null where there is none (the usage chunk).
const Json& first_choice(const Json& answer);

}  // namespace turgo
