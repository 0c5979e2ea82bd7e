// HttpServer over Asio and Beast's request parser: the only file that includes Beast. One io_context on one
// thread, so nothing here locks; worker threads and wakers reach it by asio::post.
#include "serve/http/http_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <csignal>
#include <ctime>
#include <unordered_set>

#include "core/error.h"
#include "core/log.h"
#include "serve/http/tls_terminator.h"

namespace turgo {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Socket = asio::generic::stream_protocol::socket;  // TCP and unix alike
using Parser = http::request_parser<http::string_body>;

constexpr size_t kMaxBuffer = 64 << 10;  // read ahead of the parser; a header or chunk header must fit
constexpr size_t kMaxLinger = 1 << 20;   // read and dropped so that a refusal arrives before the close
constexpr double kLingerSeconds = 2;

Clock::duration to_duration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string http_date() {
  std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[64];
  size_t size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return {text, size};
}

class BeastServer;

class Connection : public std::enable_shared_from_this<Connection>, private HttpWriter {
 public:
  Connection(BeastServer& server, Socket socket);
  ~Connection() override;

  asio::awaitable<void> run();
  void notify() {
    ready_ = true;
    event_.cancel();
  }
  void close_if_idle() {
    if (idle_) abort();
  }
  void abort() {
    gone_ = true;
    error_code ignored;
    socket_.close(ignored);
    notify();
  }

 private:
  asio::awaitable<bool> read_header(Parser& parser);
  asio::awaitable<bool> read_body(Parser& parser, bool expects_continue);
  asio::awaitable<void> answer(std::unique_ptr<Responder> responder);
  asio::awaitable<std::unique_ptr<Responder>> handle(HttpRequest request, bool is_cheap);
  asio::awaitable<bool> flush();
  asio::awaitable<void> wait_for_event();
  asio::awaitable<void> stop_watching();
  asio::awaitable<void> linger();
  asio::awaitable<bool> serve_one();
  std::function<void()> make_waker();
  void watch_for_end();
  void watched(const error_code& ec, size_t num_bytes);
  void arm(double seconds);
  void refuse(int status, const std::string& reason);
  void put_head(const HttpHead& head);

  void respond(HttpResponse response) override;
  void begin(HttpHead head) override;
  void write(std::string_view text) override;

  BeastServer& server_;
  Socket socket_;
  asio::steady_timer deadline_, event_;
  asio::cancellation_signal stop_watching_;
  beast::flat_buffer buffer_{kMaxBuffer};
  std::string out_;
  HttpLogEntry log_;
  bool idle_ = true;       // between requests
  bool expired_ = false;   // the deadline has cancelled an operation
  bool gone_ = false;      // the peer, or the server's patience
  bool ready_ = false;     // somebody called notify()
  bool watching_ = false;  // a read is pending while an answer is made
  bool stopping_ = false;  // and is to end
  bool keep_alive_ = false, is_http_1_0_ = false, is_head_ = false, began_ = false, chunked_ = false;
};

class BeastServer : public HttpServer {
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
  }

  ~BeastServer() override {
    pool_.join();
    if (local_.is_open()) ::unlink(config_.unix_socket.c_str());
  }

  void run() override {
    if (tcp_.is_open()) asio::co_spawn(*io_, accept(tcp_), asio::detached);
    if (local_.is_open()) asio::co_spawn(*io_, accept(local_), asio::detached);
    if (config_.handle_signals) {
      signals_.add(SIGTERM);
      signals_.add(SIGINT);
      signals_.add(SIGHUP);
      wait_for_signal();
    }
    io_->run();
  }

  void drain() override {
    asio::post(*io_, [this] { start_drain(); });
  }

  bool draining() const override { return draining_; }
  int port() const override { return port_; }
  bool is_loopback() const override { return is_loopback_; }
  size_t num_connections() const override { return num_connections_; }

  const HttpServerConfig& config() const { return config_; }
  HttpHandler& handler() { return handler_; }
  const std::shared_ptr<asio::io_context>& io() { return io_; }
  asio::thread_pool& pool() { return pool_; }

  void add(Connection* connection) {
    connections_.insert(connection);
    num_connections_ = connections_.size();
  }
  void remove(Connection* connection) {
    connections_.erase(connection);
    num_connections_ = connections_.size();
    if (draining_ && connections_.empty()) io_->stop();
  }

 private:
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
      auto connection = std::make_shared<Connection>(*this, std::move(socket));
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
      for (Connection* connection : connections_) connection->abort();
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

Connection::Connection(BeastServer& server, Socket socket)
    : server_(server), socket_(std::move(socket)), deadline_(*server.io()), event_(*server.io()) {
  int on = 1;
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
  server_.add(this);
}

Connection::~Connection() {
  server_.remove(this);
}

asio::awaitable<void> Connection::run() {
  auto self = shared_from_this();
  while (!gone_ && co_await serve_one()) {
  }
  deadline_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

// True: the connection stays for another request.
asio::awaitable<bool> Connection::serve_one() {
  idle_ = true;
  if (buffer_.size() == 0) buffer_.shrink_to_fit();
  keep_alive_ = is_head_ = is_http_1_0_ = began_ = chunked_ = false;
  if (buffer_.size() == 0) {
    arm(server_.config().idle_seconds);
    error_code ec;
    size_t n = co_await socket_.async_read_some(buffer_.prepare(4096),
                                                asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return false;
    buffer_.commit(n);
  }
  idle_ = false;
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(server_.config().max_header_bytes));
  parser.body_limit(boost::none);
  if (!co_await read_header(parser)) {
    co_await flush();
    co_await linger();
    co_return false;
  }

  auto begin = Clock::now();
  const auto& message = parser.get();
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.from_loopback = server_.is_loopback();
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    request.fields.emplace_back(std::move(name), std::string(field.value()));
  }
  is_http_1_0_ = message.version() == 10;
  is_head_ = request.method == "HEAD";
  bool peer_keeps = parser.keep_alive();

  HttpRefusal broken = check_request_head(request, is_http_1_0_, server_.config().max_fields,
                                          server_.config().max_target_bytes);
  log_ = {request.method, request.path, 0, 0, 0, false};
  HttpHandler::Admission admission;
  std::string_view expect = request.field("expect");
  if (message.version() != 10 && message.version() != 11)
    admission.refusal = server_.handler().refuse(505, "expected HTTP/1.1");
  else if (broken.status != 0)
    admission.refusal = server_.handler().refuse(broken.status, broken.reason);
  else if (!expect.empty() && !beast::iequals({expect.data(), expect.size()}, "100-continue"))
    admission.refusal = server_.handler().refuse(417, "Expect: only 100-continue is known");
  else if (server_.draining())
    admission.refusal = server_.handler().refuse(503, "the server is shutting down");
  else
    admission = server_.handler().admit(request);

  if (admission.refusal) {
    // A body that is still to come is not read: the connection ends with this answer.
    keep_alive_ = peer_keeps && parser.is_done() && broken.status == 0 && !server_.draining();
    respond(std::move(*admission.refusal));
    bool sent = co_await flush();
    log_.seconds = seconds_since(begin);
    server_.handler().finished(log_);
    if (sent && !keep_alive_) co_await linger();
    co_return sent&& keep_alive_;
  }
  parser.body_limit(admission.max_body);
  // What came with the header was counted before the limit was known.
  bool fits = !parser.content_length() || *parser.content_length() <= admission.max_body;
  if (!fits) refuse(413, fmt::format("the body is larger than {} bytes", admission.max_body));
  if (!fits || !co_await read_body(parser, !expect.empty())) {
    co_await flush();
    log_.seconds = seconds_since(begin);
    server_.handler().finished(log_);
    co_await linger();
    co_return false;
  }
  request.body = std::move(parser.get().body());
  keep_alive_ = peer_keeps;
  deadline_.cancel();
  bool is_cheap = admission.is_cheap;
  if (!is_cheap) watch_for_end();
  std::unique_ptr<Responder> responder = co_await handle(std::move(request), is_cheap);
  co_await answer(std::move(responder));
  if (watching_) co_await stop_watching();
  log_.seconds = seconds_since(begin);
  log_.aborted = gone_;
  server_.handler().finished(log_);
  if (gone_ || !keep_alive_) {
    if (!gone_) co_await linger();
    co_return false;
  }
  co_return !server_.draining();
}

asio::awaitable<bool> Connection::read_header(Parser& parser) {
  arm(server_.config().header_seconds);
  error_code ec;
  co_await http::async_read_header(socket_, buffer_, parser, asio::redirect_error(asio::use_awaitable, ec));
  if (!ec) co_return true;
  if (expired_)
    refuse(408, "the header of the request did not come in time");
  else if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
    refuse(431, fmt::format("the header of the request is larger than {} bytes",
                            server_.config().max_header_bytes));
  else if (ec == http::error::bad_version)
    refuse(505, "expected HTTP/1.1");
  else if (ec.category() == http::make_error_code(http::error::bad_target).category() &&
           ec != http::error::end_of_stream && ec != http::error::partial_message)
    refuse(400, "the request is not HTTP: " + ec.message());
  co_return false;
}

asio::awaitable<bool> Connection::read_body(Parser& parser, bool expects_continue) {
  if (parser.is_done()) co_return true;
  arm(server_.config().body_seconds);
  error_code ec;
  if (expects_continue && !is_http_1_0_) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await asio::async_write(socket_, asio::buffer(kContinue.data(), kContinue.size()),
                               asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return false;
  }
  co_await http::async_read(socket_, buffer_, parser, asio::redirect_error(asio::use_awaitable, ec));
  if (!ec) co_return true;
  if (expired_)
    refuse(408, "the body of the request did not come in time");
  else if (ec == http::error::body_limit)
    refuse(413, "the body of the request is too large");
  else if (ec == http::error::buffer_overflow)
    refuse(400, "a chunk header or trailer is too long");
  else if (ec.category() == http::make_error_code(http::error::bad_target).category() &&
           ec != http::error::end_of_stream && ec != http::error::partial_message)
    refuse(400, "the body is not HTTP: " + ec.message());
  co_return false;
}

// Runs the handler, on a worker unless it is cheap. The connection waits for it even if the peer leaves.
asio::awaitable<std::unique_ptr<Responder>> Connection::handle(HttpRequest request, bool is_cheap) {
  std::unique_ptr<Responder> responder;
  auto work = [this, &request, &responder] {
    try {
      responder = server_.handler().handle(std::move(request));
    } catch (const std::exception& error) {
      log_line(LogLevel::kError, fmt::format("{} {}: {}", log_.method, quote(log_.path), error.what()));
      responder = respond_with(server_.handler().refuse(500, "internal error"));
    }
  };
  if (is_cheap) {
    work();
    co_return responder;
  }
  bool handled = false;
  asio::post(server_.pool(), [this, &work, &handled] {
    work();
    asio::post(*server_.io(), [this, &handled] {
      handled = true;
      notify();
    });
  });
  while (!handled) co_await wait_for_event();
  co_return responder;
}

asio::awaitable<void> Connection::answer(std::unique_ptr<Responder> responder) {
  ready_ = false;
  responder->start(make_waker());
  for (bool done = false; !done;) {
    ready_ = false;
    try {
      done = responder->advance(*this);
      if (done && chunked_) out_ += "0\r\n\r\n";
    } catch (const std::exception& error) {
      log_line(LogLevel::kError, fmt::format("{} {}: {}", log_.method, quote(log_.path), error.what()));
      done = true;
      keep_alive_ = false;
      if (!began_) refuse(500, "internal error");
    }
    if (!out_.empty() && !co_await flush()) gone_ = true;
    if (gone_) break;
    if (!done && !ready_) co_await wait_for_event();
  }
  if (!log_.status) keep_alive_ = false;
}

std::function<void()> Connection::make_waker() {
  auto posted = std::make_shared<std::atomic<bool>>(false);
  return [io = server_.io(), weak = weak_from_this(), posted] {
    if (posted->exchange(true)) return;
    asio::post(*io, [weak, posted] {
      posted->store(false);
      if (auto connection = weak.lock()) connection->notify();
    });
  };
}

asio::awaitable<void> Connection::wait_for_event() {
  event_.expires_at(Clock::time_point::max());
  error_code ignored;
  co_await event_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<bool> Connection::flush() {
  if (out_.empty()) co_return true;
  arm(server_.config().write_seconds);
  error_code ec;
  co_await asio::async_write(socket_, asio::buffer(out_), asio::redirect_error(asio::use_awaitable, ec));
  deadline_.cancel();
  out_.clear();
  if (out_.capacity() > (64 << 10)) out_.shrink_to_fit();
  co_return !ec;
}

// While an answer is made, the end of the connection is what a read would return. Bytes that come instead
// are the beginning of the next request.
void Connection::watch_for_end() {
  if (buffer_.size() + 2048 > kMaxBuffer) return;  // a peer that pipelines so much is seen to leave later
  watching_ = true;
  auto done = [self = shared_from_this()](error_code ec, size_t n) { self->watched(ec, n); };
  socket_.async_read_some(buffer_.prepare(2048),
                          asio::bind_cancellation_slot(stop_watching_.slot(), std::move(done)));
}

void Connection::watched(const error_code& ec, size_t num_bytes) {
  watching_ = false;
  if (!ec) {
    buffer_.commit(num_bytes);
    if (!stopping_) return watch_for_end();
  } else if (ec != asio::error::operation_aborted) {
    gone_ = true;
  }
  notify();
}

asio::awaitable<void> Connection::stop_watching() {
  stopping_ = true;
  while (watching_) {
    stop_watching_.emit(asio::cancellation_type::all);
    co_await wait_for_event();
  }
  stopping_ = false;
}

// Closes so that the peer gets what was written: a socket closed over unread bytes sends a reset.
asio::awaitable<void> Connection::linger() {
  error_code ec;
  socket_.shutdown(asio::socket_base::shutdown_send, ec);
  if (ec) co_return;
  arm(kLingerSeconds);
  buffer_.clear();
  for (size_t total = 0; total < kMaxLinger;) {
    size_t n = co_await socket_.async_read_some(buffer_.prepare(16 << 10),
                                                asio::redirect_error(asio::use_awaitable, ec));
    if (ec) break;
    total += n;
  }
}

void Connection::arm(double seconds) {
  expired_ = false;
  deadline_.expires_after(to_duration(seconds));
  deadline_.async_wait([weak = weak_from_this()](error_code ec) {
    auto self = weak.lock();
    if (ec || !self || self->deadline_.expiry() > Clock::now()) return;
    self->expired_ = true;
    error_code ignored;
    self->socket_.cancel(ignored);
  });
}

void Connection::refuse(int status, const std::string& reason) {
  keep_alive_ = false;
  respond(server_.handler().refuse(status, reason));
}

void Connection::put_head(const HttpHead& head) {
  log_.status = head.status;
  out_ += fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", head.status, http_reason(head.status), http_date());
  if (!head.content_type.empty()) out_ += fmt::format("Content-Type: {}\r\n", head.content_type);
  for (const auto& [name, value] : head.fields) {
    // The one place where text could split a header.
    CHECK(value.find_first_of("\r\n") == std::string::npos, "header {}", name);
    out_ += fmt::format("{}: {}\r\n", name, value);
  }
  if (server_.draining()) keep_alive_ = false;
  if (!keep_alive_)
    out_ += "Connection: close\r\n";
  else if (is_http_1_0_)
    out_ += "Connection: keep-alive\r\n";
}

void Connection::respond(HttpResponse response) {
  CHECK(!began_);
  began_ = true;
  put_head(response.head);
  if (response.head.status != 204) out_ += fmt::format("Content-Length: {}\r\n", response.body.size());
  out_ += "\r\n";
  log_.bytes += response.body.size();
  if (!is_head_) out_ += response.body;
}

void Connection::begin(HttpHead head) {
  CHECK(!began_);
  began_ = true;
  chunked_ = !is_http_1_0_;
  if (!chunked_) keep_alive_ = false;
  put_head(head);
  if (chunked_) out_ += "Transfer-Encoding: chunked\r\n";
  out_ += "\r\n";
}

void Connection::write(std::string_view text) {
  CHECK(began_);
  if (text.empty()) return;
  log_.bytes += text.size();
  if (chunked_) out_ += fmt::format("{:x}\r\n", text.size());
  out_ += text;
  if (chunked_) out_ += "\r\n";
}

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

std::unique_ptr<HttpServer> HttpServer::listen(const HttpServerConfig& config, HttpHandler& handler) {
  return std::make_unique<BeastServer>(config, handler);
}

}  // namespace turgo
