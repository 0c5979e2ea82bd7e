// Flags that more than one `turgo serve …` has, said once: who may call, how long an end may take, TLS, a
// file of flags. Each server picks the groups that it knows.
#pragma once

#include <string>
#include <vector>

#include "core/options.h"
#include "serve/access.h"
#include "serve/http/http_server.h"

namespace turgo {

struct CallerOptions {
  std::vector<std::string>& api_keys;
  std::string& api_keys_file;
  bool is_shared_fairly = false;  // the server knows priorities and tokens per minute
};

struct TlsOptions {
  std::string &certfile, &keyfile;
  // What the help says behind the certificate and the key.
  const char* of_certificate = "";
  const char* of_key = "";
};

void list_address(OptionList& list, HttpServerConfig& http, int32_t& port);  // server_name, server_port
void list_callers(OptionList& list, const CallerOptions& o);                 // api_keys, api_keys_file
void list_access(OptionList& list, AccessConfig& access);                    // allow_origins, allowed_hosts
void list_tls(OptionList& list, const TlsOptions& o);                        // ssl_certfile, ssl_keyfile
void list_drain(OptionList& list, double& drain_seconds);                    // drain_timeout
void list_config_file(OptionList& list, std::string& config);                // config

}  // namespace turgo
