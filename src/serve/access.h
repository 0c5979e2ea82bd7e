// Who may call: the Host and Origin of a request, its key, and the CORS headers of its answer.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/http/http_server.h"

namespace turgo {

struct AccessConfig {
  // CORS; "*" = all. No methods or headers named: those that the routes use.
  std::vector<std::string> allow_origins, allow_methods, allow_headers;
  bool allow_credentials = false;          // pages may send their cookies and read what comes back
  std::vector<std::string> allowed_hosts;  // Host values beside the loopback's own names; "*" = all
};

class Access {
 public:
  explicit Access(AccessConfig config) : config_(std::move(config)) {}

  // What is wrong with the Host or Origin, "" = nothing. A page in the browser of somebody at this machine
  // could call a server that only listens here: its Origin betrays it, or, where it rebound a name to
  // 127.0.0.1, its Host.
  std::string check_origin(const HttpRequest& head) const;
  // The answer to a browser's question beforehand.
  HttpResponse preflight(const HttpRequest& head) const;
  // `responder`, with CORS headers if the request's Origin may read the answer.
  std::unique_ptr<Responder> open_to_origin(std::unique_ptr<Responder> responder,
                                            const HttpRequest& request) const;

 private:
  bool allows_origin(std::string_view origin) const;
  AccessConfig config_;
};

// "Authorization: Bearer KEY" or "x-api-key: KEY"; "" if there is none.
std::string key_of(const HttpRequest& head);

// Compares every byte whatever differs: the time tells the length of `given` alone.
bool equal_in_constant_time(std::string_view given, std::string_view secret);

}  // namespace turgo
