#include "serve/http/http_message.h"

#include <fmt/format.h>

#include <algorithm>

namespace turgo {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// false: a broken escape, or one of a byte that has no business in a path.
bool decode_path(std::string_view raw, std::string& out) {
  for (size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '%') {
      if (i + 2 >= raw.size()) return false;
      int high = hex_value(raw[i + 1]), low = hex_value(raw[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
      if (c == '/' || c == '\\' || c == '%') return false;  // an escape that hides a separator or an escape
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    out += c;
  }
  return true;
}

bool is_plain(std::string_view path) {
  size_t begin = 1;
  while (begin <= path.size()) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string_view part = path.substr(begin, end - begin);
    if (part == "." || part == ".." || (part.empty() && end != path.size())) return false;
    begin = end + 1;
  }
  return true;
}

}  // namespace

std::string_view HttpRequest::field(std::string_view name) const {
  for (const auto& [key, value] : fields)
    if (key == name) return value;
  return {};
}

size_t HttpRequest::count_fields(std::string_view name) const {
  return static_cast<size_t>(
      std::count_if(fields.begin(), fields.end(), [&](const auto& one) { return one.first == name; }));
}

std::string_view http_reason(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Status";
  }
}

HttpRefusal check_request_head(HttpRequest& request, bool is_http_1_0, size_t max_fields, size_t max_target) {
  if (request.target.size() > max_target)
    return {414, fmt::format("the request target is longer than {} bytes", max_target)};
  if (request.fields.size() > max_fields) return {431, fmt::format("more than {} header fields", max_fields)};
  size_t num_hosts = request.count_fields("host");
  if (num_hosts > 1 || (num_hosts == 0 && !is_http_1_0))
    return {400, fmt::format("expected exactly one Host header field, got {}", num_hosts)};
  std::string_view coding = request.field("transfer-encoding");
  if (!coding.empty() &&
      (is_http_1_0 || request.count_fields("transfer-encoding") > 1 || coding != "chunked"))
    return {501, "Transfer-Encoding: expected chunked alone, in HTTP/1.1"};
  if (request.method == "CONNECT")
    return {405, fmt::format("the method {} is not served here", request.method)};
  if (request.method == "OPTIONS" && request.target == "*") {
    request.path = request.target;
    return {};
  }
  std::string_view target = request.target;
  if (target.empty() || target.front() != '/') return {400, "expected a request target that begins with '/'"};
  size_t question = target.find('?');
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  if (!decode_path(target.substr(0, question), request.path) || !is_plain(request.path))
    return {400, "the path is not plain: it has an empty, '.' or '..' segment, or a forbidden escape"};
  return {};
}

}  // namespace turgo
