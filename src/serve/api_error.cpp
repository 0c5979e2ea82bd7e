#include "serve/api_error.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/options.h"
#include "engine/engine.h"

namespace turgo {
namespace {

const char* error_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 404) return "not_found_error";
  if (status == 429) return "rate_limit_error";
  if (status >= 500) return "server_error";
  return "invalid_request_error";
}

Json null_or(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

}  // namespace

std::string without_folders(std::string text) {
  for (size_t begin = text.find("'/"); begin != std::string::npos; begin = text.find("'/", begin + 1)) {
    size_t end = text.find('\'', begin + 1);
    if (end == std::string::npos) break;
    size_t slash = text.rfind('/', end);
    text.erase(begin + 1, slash - begin);
  }
  return text;
}

ApiError to_api_error(const Error& error, bool is_submit) {
  std::string message = without_folders(error.what());
  if (dynamic_cast<const EngineAway*>(&error)) return {503, message, "", "engine_away"};
  switch (error.code()) {
    case ErrorCode::kTooLong:
      return {400, message, "messages", "context_length_exceeded"};
    case ErrorCode::kResourceExhausted:
      if (is_submit) return {429, message, "", "queue_full"};
      return {400, message, "", "too_large"};
    case ErrorCode::kNotFound:
      return {404, message, "", "not_found"};
    case ErrorCode::kIo:
      return {500, message, "", "io_error"};
    case ErrorCode::kCancelled:
      return {503, message, "", "cancelled"};
    case ErrorCode::kUnsupported:
      return {400, message, "", "unsupported"};
    default: {
      // "top_p: expected …": the engine's messages begin with the field.
      size_t colon = message.find(": ");
      bool named =
          colon != std::string::npos && message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == colon;
      return {400, message, named ? message.substr(0, colon) : "", "invalid_value"};
    }
  }
}

std::string error_json(const ApiError& error) {
  Json body = {{"error",
                {{"message", error.message},
                 {"type", error_type(error.status)},
                 {"param", null_or(error.param)},
                 {"code", null_or(error.code)}}}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response{{error.status, "application/json", {}}, error_json(error)};
  response.head.error = error.code.empty() ? error_type(error.status) : error.code;
  if (error.status == 429 || error.status == 503)
    response.head.fields.emplace_back(
        "Retry-After", fmt::format("{:.0f}", std::ceil(std::clamp(error.retry_after, 1.0, 3600.0))));
  if (error.status == 401) response.head.fields.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace turgo
