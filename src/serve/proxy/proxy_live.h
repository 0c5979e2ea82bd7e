// What of a ProxyServer lives on the I/O thread of the HTTP server in front.
#pragma once

#include "serve/proxy/proxy_server.h"

namespace turgo {

struct ProxyServer::Live {
  Live(ProxyServer& proxy, std::shared_ptr<boost::asio::io_context> io)
      : pool(std::move(io), proxy.config_.upstream),
        checker(proxy.table_, pool, proxy.config_.health, [&proxy] { proxy.is_dirty_ = true; }),
        forwarding{proxy.table_,
                   pool,
                   proxy.metrics_,
                   proxy.budget_,
                   proxy.config_.node_api_key,
                   proxy.config_.max_attempts} {}

  UpstreamPool pool;
  HealthChecker checker;
  ForwardContext forwarding;
};

}  // namespace turgo
