// Errors as the callers of an HTTP API get them: a status and OpenAI's body
// {"error": {"message", "type", "param", "code"}}. The one place where an Error becomes an HTTP status.
#pragma once

#include <exception>
#include <string>

#include "core/error.h"
#include "serve/http/http_message.h"

namespace turgo {

struct ApiError : std::exception {
  ApiError(int s, std::string m, std::string p = "", std::string c = "")
      : status(s), message(std::move(m)), param(std::move(p)), code(std::move(c)) {}
  const char* what() const noexcept override { return message.c_str(); }

  int status;
  std::string message;
  std::string param;       // the field at fault; "" = null
  std::string code;        // "" = null
  double retry_after = 1;  // seconds; told with 429 and 503
};

// 400 naming the field: bad_field("top_p", "expected a number from 0 to 1, got {}", 2)
template <class... Args>
[[noreturn]] void bad_field(const std::string& param, fmt::format_string<Args...> format, Args&&... args) {
  throw ApiError(400, param + ": " + fmt::format(format, std::forward<Args>(args)...), param,
                 "invalid_value");
}

// How an Error of the pipeline or engine looks from outside. `is_submit`: kResourceExhausted means a full
// queue (429), and not a request that asks for too much (400).
ApiError to_api_error(const Error& error, bool is_submit);

// `text` with only the file's name of each quoted absolute path: where this machine keeps its models is
// nobody's business.
std::string without_folders(std::string text);

HttpResponse error_response(const ApiError& error);
std::string error_json(const ApiError& error);  // the body alone, for streams

}  // namespace turgo
