#include "apps/server_options.h"

#include <fmt/format.h>

namespace turgo {

void list_address(OptionList& list, HttpServerConfig& http, int32_t& port) {
  list.add("server_name", &http.address, "address to listen on; 0.0.0.0: every one of this machine")
      .label("ADDRESS");
  list.add("server_port", &port, "port; 0: any free one").range(0, 65535).label("PORT");
}

void list_callers(OptionList& list, const CallerOptions& o) {
  list.add("api_keys", &o.api_keys, "key that callers must show; may be given several times").label("KEY");
  list.add("api_keys_file", &o.api_keys_file,
           fmt::format("JSON {{\"keys\": [{{\"key\", \"name\", {}}}]}}; SIGHUP reads it again",
                       o.is_shared_fairly ? "\"priority\", \"requests_per_minute\", \"tokens_per_minute\""
                                          : "\"requests_per_minute\""))
      .label("FILE");
}

void list_access(OptionList& list, AccessConfig& access) {
  list.add("allow_origins", &access.allow_origins,
           "web pages that may call (CORS); *: all; may be given several times")
      .label("ORIGIN");
  list.add("allowed_hosts", &access.allowed_hosts,
           "Host names beside localhost that a loopback server answers to")
      .label("HOST");
}

void list_tls(OptionList& list, const TlsOptions& o) {
  list.add("ssl_certfile", &o.certfile, fmt::format("PEM certificate{}", o.of_certificate)).label("FILE");
  list.add("ssl_keyfile", &o.keyfile, fmt::format("PEM key of it{}", o.of_key)).label("FILE");
}

void list_drain(OptionList& list, double& drain_seconds) {
  list.add("drain_timeout", &drain_seconds, "seconds that SIGTERM leaves to running answers")
      .range(0, 1e6)
      .label("S");
}

void list_config_file(OptionList& list, std::string& config) {
  list.add("config", &config, "JSON object of these flags (session_len: 4096 …); flags and $TURGO_… win")
      .label("FILE");
}

}  // namespace turgo
