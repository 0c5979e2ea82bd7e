#include "serve/proxy/registrar.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

#include "core/json.h"
#include "core/log.h"
#include "serve/generation.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kLook = std::chrono::milliseconds(100);

// The address that packets to `peer` leave from, as it stands in a URL.
std::string local_address(const ServerUrl& peer) {
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_DGRAM;  // connect() sends nothing
  if (getaddrinfo(peer.host.c_str(), std::to_string(peer.port).c_str(), &hints, &list) != 0) return "";
  std::string out;
  for (addrinfo* a = list; a && out.empty(); a = a->ai_next) {
    int fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    char text[NI_MAXHOST];
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0 &&
        getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
            0)
      out = own.ss_family == AF_INET6 ? fmt::format("[{}]", text) : std::string(text);
    close(fd);
  }
  freeaddrinfo(list);
  return out;
}

}  // namespace

Registrar::Registrar(RegistrarConfig config, int port, std::vector<std::string> models,
                     std::function<bool()> is_draining)
    : config_(std::move(config)),
      port_(port),
      models_(std::move(models)),
      is_draining_(std::move(is_draining)) {
  if (config_.proxy_url.empty()) return;
  proxy_ = parse_server_url(config_.proxy_url);
  if (!config_.node_url.empty()) parse_server_url(config_.node_url);
  thread_ = std::thread([this] { work(); });
}

Registrar::~Registrar() {
  {
    std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string Registrar::own_url() const {
  if (!config_.node_url.empty()) return config_.node_url;
  std::string address = local_address(proxy_);
  return address.empty() ? "" : fmt::format("http://{}:{}", address, port_);
}

bool Registrar::post(const std::string& path, const std::string& body) {
  std::string wrong;
  try {
    HttpAnswer answer = fetch(proxy_, {"POST", path, body, config_.operator_key}, 5, 1 << 20);
    if (answer.status != 200) wrong = fmt::format("{} {}", answer.status, quote(answer.body, 300));
  } catch (const Error& error) {
    wrong = error.what();
  }
  if (wrong.empty() && has_failed_) log_info("the distributor {} knows this server again", config_.proxy_url);
  if (!wrong.empty() && !has_failed_)
    log_line(LogLevel::kError,
             fmt::format("the distributor {} does not know this server: {}; it is tried again every {} s",
                         config_.proxy_url, wrong, config_.interval));
  has_failed_ = !wrong.empty();
  return wrong.empty();
}

void Registrar::work() {
  auto next = Clock::now();
  std::unique_lock lock(mutex_);
  while (!stops_ && !is_draining_()) {
    if (Clock::now() >= next) {
      lock.unlock();
      Json body = {
          {"url", own_url()}, {"heartbeat_seconds", config_.interval}, {"status", {{"models", models_}}}};
      post("/nodes/add", dump_json(body));
      next = Clock::now() +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(config_.interval));
      lock.lock();
    }
    changed_.wait_for(lock, kLook);
  }
  lock.unlock();
  if (!has_failed_) post("/nodes/remove", dump_json({{"url", own_url()}}));
}

}  // namespace turgo
