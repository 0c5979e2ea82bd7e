// HttpServer over Asio: listens, accepts, obeys signals and drains. One io_context on one thread, so nothing
// here locks; worker threads and wakers reach it by asio::post.
#include "serve/http/http_server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <unordered_set>

#include "core/error.h"
#include "core/log.h"
#include "serve/http/connection.h"
#include "serve/http/http_io.h"
#include "serve/http/tls_terminator.h"

namespace turgo {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Socket = Connection::Socket;

std::chrono::steady_clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

// "192.0.2.1", "2001:db8::1" or "unix".
std::string peer_of(Socket& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(socket.native_handle(), reinterpret_cast<sockaddr*>(&address), &size)) return "";
  char text[INET6_ADDRSTRLEN] = "unix";
  if (address.ss_family == AF_INET)
    ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&address)->sin_addr, text, sizeof text);
  else if (address.ss_family == AF_INET6)
    ::inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&address)->sin6_addr, text, sizeof text);
  return text;
}

class BeastServer : public HttpServer, private Connection::Host {
 public:
  BeastServer(const HttpServerConfig& config, HttpHandler& handler)
      : config_(config),
        handler_(handler),
        io_(std::make_shared<asio::io_context>(1)),
        pool_(static_cast<size_t>(std::max(config.num_workers, 1))),
        tcp_(*io_),
        local_(*io_),
        signals_(*io_),
        drain_timer_(*io_) {
    if (!config_.ssl_certfile.empty())
      tls_ = TlsTerminator::create(*io_, config_.ssl_certfile, config_.ssl_keyfile);
    if (!config_.address.empty()) listen_tcp();
    if (!config_.unix_socket.empty()) listen_local();
    if (config_.handle_signals) {  // from now on: whoever is told that the server is up may stop it at once
      for (int number : {SIGTERM, SIGINT, SIGHUP}) signals_.add(number);
      wait_for_signal();
    }
  }

  ~BeastServer() override {
    pool_.join();
    if (local_.is_open()) ::unlink(config_.unix_socket.c_str());
  }

  void run() override {
    if (tcp_.is_open()) asio::co_spawn(*io_, accept(tcp_), asio::detached);
    if (local_.is_open()) asio::co_spawn(*io_, accept(local_), asio::detached);
    io_->run();
  }

  void drain() override {
    asio::post(*io_, [this] { start_drain(); });
  }

  bool draining() const override { return draining_; }
  int port() const override { return port_; }
  bool is_loopback() const override { return is_loopback_; }
  size_t num_connections() const override { return num_connections_; }
  std::shared_ptr<asio::io_context> shared_io() const { return io_; }

 private:
  const HttpServerConfig& config() const override { return config_; }
  HttpHandler& handler() override { return handler_; }
  const std::shared_ptr<asio::io_context>& io() override { return io_; }
  asio::thread_pool& pool() override { return pool_; }
  bool is_draining() const override { return draining_; }
  bool has_loopback_address() const override { return is_loopback_; }

  void add(Connection* connection) override {
    connections_.insert(connection);
    num_connections_ = connections_.size();
  }
  void remove(Connection* connection) override {
    connections_.erase(connection);
    num_connections_ = connections_.size();
    if (draining_ && connections_.empty()) io_->stop();
  }

  void listen_tcp() {
    using asio::ip::tcp;
    error_code ec;
    tcp::resolver resolver(*io_);
    auto found = resolver.resolve(config_.address, std::to_string(config_.port), tcp::resolver::passive, ec);
    if (ec || found.empty())
      fail(ErrorCode::kInvalidArgument, "--server-name {}: expected an address of this machine: {}",
           quote(config_.address), ec.message());
    tcp::endpoint endpoint = found.begin()->endpoint();
    tcp_.open(endpoint.protocol(), ec);
    if (!ec) tcp_.set_option(tcp::acceptor::reuse_address(true), ec);
    if (!ec) tcp_.bind(endpoint, ec);
    if (!ec) tcp_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec)
      fail(ErrorCode::kIo, "can not listen on {} port {}: {}; another program may have it, --server-port N",
           quote(config_.address), config_.port, ec.message());
    port_ = tcp_.local_endpoint().port();
    is_loopback_ = endpoint.address().is_loopback();
  }

  void listen_local() {
    using Local = asio::local::stream_protocol;
    const std::string& path = config_.unix_socket;
    if (path.size() >= sizeof(sockaddr_un::sun_path))
      fail(ErrorCode::kInvalidArgument, "--unix-socket: expected a path of at most {} bytes, got {}",
           sizeof(sockaddr_un::sun_path) - 1, path.size());
    error_code ec;
    Local::socket probe(*io_);
    probe.connect(Local::endpoint(path), ec);
    if (ec == asio::error::connection_refused) ::unlink(path.c_str());  // left by a process that has died
    ec = {};
    local_.open(Local(), ec);
    if (!ec) local_.bind(Local::endpoint(path), ec);
    if (!ec) local_.listen(asio::socket_base::max_listen_connections, ec);
    if (ec) fail(ErrorCode::kIo, "can not listen on {}: {}", quote(path, 108), ec.message());
  }

  template <class Acceptor>
  asio::awaitable<void> accept(Acceptor& acceptor) {
    Connection::Host& host = *this;
    for (;;) {
      Socket socket(*io_);
      error_code ec;
      co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, ec));
      if (draining_ || ec == asio::error::operation_aborted) co_return;
      if (ec) {  // out of file descriptors, mostly: waiting for some to come back is all that helps
        asio::steady_timer pause(*io_, std::chrono::milliseconds(50));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
        continue;
      }
      if (connections_.size() >= config_.max_connections) {
        turn_away(socket);
        continue;
      }
      std::string client = peer_of(socket);  // before TLS puts a socket pair in between
      if constexpr (std::is_same_v<Acceptor, asio::ip::tcp::acceptor>) {
        if (tls_) {
          try {
            socket = tls_->attach(std::move(socket));
          } catch (const std::exception& error) {  // no descriptors left
            log_warning("a connection is dropped: {}", error.what());
            continue;
          }
        }
      }
      auto connection = std::make_shared<Connection>(host, std::move(socket), std::move(client));
      asio::co_spawn(*io_, [connection] { return connection->run(); }, asio::detached);
    }
  }

  void turn_away(Socket& socket) {
    HttpResponse response = handler_.refuse(503, "too many connections; try again later");
    std::string text = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {}\r\nContent-Length: {}\r\nRetry-After: 1\r\n"
        "Connection: close\r\n\r\n{}",
        response.head.content_type, response.body.size(), response.body);
    ::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  void wait_for_signal() {
    signals_.async_wait([this](error_code ec, int number) {
      if (ec) return;
      if (number == SIGHUP) {
        reload();
        return wait_for_signal();
      }
      if (draining_) return io_->stop();
      log_info("draining: waiting for {} connections; a second signal stops at once", connections_.size());
      start_drain();
      wait_for_signal();
    });
  }

  void reload() {
    try {
      if (tls_) tls_->reload();
      if (config_.on_reload) config_.on_reload();
      log_info("reloaded certificate and keys");
    } catch (const std::exception& error) {
      log_line(LogLevel::kError, fmt::format("not reloaded: {}", error.what()));
    }
  }

  void start_drain() {
    if (draining_.exchange(true)) return;
    if (config_.on_drain) config_.on_drain();
    error_code ignored;
    tcp_.close(ignored);
    bool had_local = local_.is_open();
    local_.close(ignored);
    if (had_local) ::unlink(config_.unix_socket.c_str());
    for (Connection* connection : connections_) connection->close_if_idle();
    if (connections_.empty()) return io_->stop();
    drain_timer_.expires_after(to_duration(config_.drain_seconds));
    drain_timer_.async_wait([this](error_code ec) {
      if (ec) return;
      auto open = connections_;  // those that are idle leave the set at once
      for (Connection* connection : open) connection->interrupt();
      if (connections_.empty()) return;
      // What its peer does not read is not waited for.
      drain_timer_.expires_after(std::chrono::seconds(1));
      drain_timer_.async_wait([this](error_code) { io_->stop(); });
    });
  }

  HttpServerConfig config_;
  HttpHandler& handler_;
  std::shared_ptr<asio::io_context> io_;
  std::unique_ptr<TlsTerminator> tls_;
  asio::thread_pool pool_;
  asio::ip::tcp::acceptor tcp_;
  asio::local::stream_protocol::acceptor local_;
  asio::signal_set signals_;
  asio::steady_timer drain_timer_;
  std::unordered_set<Connection*> connections_;
  std::atomic<size_t> num_connections_{0};
  std::atomic<bool> draining_{false};
  int port_ = 0;
  bool is_loopback_ = true;
};

class WholeResponder : public Responder {
 public:
  explicit WholeResponder(HttpResponse response) : response_(std::move(response)) {}
  void start(std::function<void()>) override {}
  bool advance(HttpWriter& out) override {
    out.respond(std::move(response_));
    return true;
  }

 private:
  HttpResponse response_;
};

}  // namespace

std::unique_ptr<Responder> respond_with(HttpResponse response) {
  return std::make_unique<WholeResponder>(std::move(response));
}

std::shared_ptr<asio::io_context> io_context_of(const HttpServer& server) {
  return static_cast<const BeastServer&>(server).shared_io();  // listen() makes no other
}

std::unique_ptr<HttpServer> HttpServer::listen(const HttpServerConfig& config, HttpHandler& handler) {
  return std::make_unique<BeastServer>(config, handler);
}

}  // namespace turgo
