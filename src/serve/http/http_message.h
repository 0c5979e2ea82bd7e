// HTTP requests and answers as plain data: what handlers see, without any network library.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/http/trace_context.h"

namespace turgo {

using HttpFields = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // "GET"
  std::string target;  // as it came, starts with '/'
  std::string path;    // decoded, without the query; holds no NUL, no "//", no "." or ".." segment
  std::string query;   // raw, without '?'
  HttpFields fields;   // names in lower case, in the order of arrival
  std::string body;
  bool from_loopback = false;  // the server's address is one, or a unix socket
  std::string request_id;      // the caller's x-request-id, or the trace id
  TraceContext trace = {};

  // The value of the first field of that name (lower case); "" if there is none.
  std::string_view field(std::string_view name) const;
  size_t count_fields(std::string_view name) const;
};

struct HttpHead {
  int status = 200;
  std::string content_type = "application/json";
  HttpFields fields;       // more of them
  std::string error = {};  // code of an error, for the log
};

struct HttpResponse {
  HttpHead head;
  std::string body;
};

std::string_view http_reason(int status);

// What is wrong with the header of a request although its grammar is right, as the status to answer with and
// the reason; {0, ""} if nothing is. Fills path and query from target. Rules: exactly one Host in HTTP/1.1
// (RFC 9112, 3.2), at most max_fields fields, a target of at most max_target bytes in origin form whose
// escapes decode to a plain absolute path.
struct HttpRefusal {
  int status = 0;
  std::string reason;
};
HttpRefusal check_request_head(HttpRequest& request, bool is_http_1_0, size_t max_fields, size_t max_target);

}  // namespace turgo
