#include "serve/api_error.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/options.h"

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

ApiError to_api_error(const Error& error, bool is_submit) {
  switch (error.code()) {
    case ErrorCode::kTooLong:
      return {400, error.what(), "messages", "context_length_exceeded"};
    case ErrorCode::kResourceExhausted:
      if (is_submit) return {429, error.what(), "", "queue_full"};
      return {400, error.what(), "", "too_large"};
    case ErrorCode::kNotFound:
      return {404, error.what(), "", "not_found"};
    case ErrorCode::kIo:
      return {500, error.what(), "", "io_error"};
    case ErrorCode::kCancelled:
      return {503, error.what(), "", "cancelled"};
    case ErrorCode::kUnsupported:
      return {400, error.what(), "", "unsupported"};
    default: {
      // "top_p: expected …": the engine's messages begin with the field.
      std::string text = error.what();
      size_t colon = text.find(": ");
      bool named =
          colon != std::string::npos && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == colon;
      return {400, text, named ? text.substr(0, colon) : "", "invalid_value"};
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
  if (error.status == 429 || error.status == 503)
    response.head.fields.emplace_back(
        "Retry-After", fmt::format("{:.0f}", std::ceil(std::clamp(error.retry_after, 1.0, 3600.0))));
  if (error.status == 401) response.head.fields.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace turgo
