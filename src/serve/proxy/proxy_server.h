// `turgo serve proxy`: the request distributor. One address in front of many nodes: it admits a request
// (Host, Origin, the caller's key), reads what it is for and hands it to forward(). The operator's /nodes
// routes need a key of their own. Everything but the reading of large bodies runs on the server's I/O thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "serve/access.h"
#include "serve/http/http_server.h"
#include "serve/keys.h"
#include "serve/proxy/forward.h"
#include "serve/proxy/health_checker.h"
#include "serve/proxy/node_table.h"
#include "serve/proxy/state_file.h"
#include "serve/proxy/upstream.h"
#include "serve/routes.h"

namespace turgo {

struct ProxyConfig {
  std::vector<std::string> nodes;  // URLs that are there from the beginning
  TableConfig table;
  UpstreamConfig upstream;
  HealthConfig health;
  AccessConfig access;
  std::vector<std::string> api_keys;
  std::string api_keys_file;
  std::string operator_key;  // "" = /nodes answers nobody
  std::string node_api_key;
  std::string state_file;
  int max_attempts = 3;
  size_t max_body = 32 << 20;
};

class ProxyServer : public HttpHandler {
 public:
  // Reads the state file. Throws Error.
  explicit ProxyServer(ProxyConfig config);
  ~ProxyServer() override;

  // Between listen() and run(), and after run(): the I/O thread's part.
  void attach(HttpServer& server);
  void detach();

  Admission admit(const HttpRequest& head) override;
  std::unique_ptr<Responder> handle(HttpRequest request) override;
  HttpResponse refuse(int status, const std::string& reason) override;
  void finished(const HttpLogEntry& entry) override;

  KeyRing& keys() { return keys_; }
  NodeTable& table() { return table_; }

 private:
  struct Live;  // pool, checker and forwarder: what needs the server's io_context
  class Asking;

  void add_routes();
  void add_node_routes();
  void own(const char* method, const std::string& path, Route route, const char* summary,
           bool is_open = false);
  void restore();
  std::string snapshot() const;
  void save(StateFile::Done done = nullptr);
  void tick();
  std::unique_ptr<Responder> forward_to_holder(HttpRequest request);
  std::unique_ptr<Responder> add_node(const Call& call);
  std::unique_ptr<Responder> drain_node(const Call& call);
  std::unique_ptr<Responder> terminate_nodes(const std::vector<std::string>& urls);
  bool remove_node(const std::string& url);
  Json status_json() const;
  std::string metrics_text() const;

  ProxyConfig config_;
  KeyRing keys_;
  Access access_;
  NodeTable table_;
  StateFile state_file_;
  ForwardMetrics metrics_;
  RetryBudget budget_;
  RouteTable routes_;
  HttpServer* server_ = nullptr;
  int64_t started_;
  bool is_dirty_ = false, is_saved_ = true;
  double next_save_ = 0;
  uint64_t saved_sessions_ = 0;
  int64_t num_refused_keys_ = 0;
  std::unique_ptr<Live> live_;
};

}  // namespace turgo
