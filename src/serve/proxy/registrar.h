// A node's side of the distributor: registers itself there, says now and then that it still lives, and takes
// itself out when its server begins to drain. Runs on a thread of its own; a distributor that is away for a
// while costs nothing but a line in the log.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serve/client/http_exchange.h"

namespace turgo {

struct RegistrarConfig {
  std::string proxy_url;     // "" = none: nothing happens
  std::string operator_key;  // the distributor's --operator-key
  std::string node_url;      // how the distributor reaches this node; "" = by the address that reaches it
  double interval = 10;      // seconds
};

class Registrar {
 public:
  // Throws Error{kInvalidArgument} for URLs that are none. `is_draining` is asked on this object's thread.
  Registrar(RegistrarConfig config, int port, std::vector<std::string> models,
            std::function<bool()> is_draining);
  ~Registrar();

 private:
  void work();
  bool post(const std::string& path, const std::string& body);
  std::string own_url() const;  // "" while it can not be found out

  RegistrarConfig config_;
  ServerUrl proxy_;
  int port_;
  std::vector<std::string> models_;
  std::function<bool()> is_draining_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stops_ = false, has_failed_ = false;
  std::thread thread_;
};

}  // namespace turgo
