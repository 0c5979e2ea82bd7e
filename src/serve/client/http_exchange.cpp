#include "serve/client/http_exchange.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "core/error.h"

namespace turgo {
namespace {

namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

struct AddressList {
  addrinfo* list = nullptr;
  ~AddressList() {
    if (list) freeaddrinfo(list);
  }
};

// The first address that takes a connection; names such as localhost have several.
int connect_to(const ServerUrl& server) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  AddressList addresses;
  int wrong = getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &addresses.list);
  if (wrong) fail(ErrorCode::kIo, "{}:{}: {}", quote(server.host, 100), server.port, gai_strerror(wrong));
  int error = 0;
  for (addrinfo* a = addresses.list; a; a = a->ai_next) {
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
      error = errno;
      continue;
    }
    error = connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      pollfd poller{fd, POLLOUT, 0};
      int ready;
      do ready = poll(&poller, 1, 10000);
      while (ready < 0 && errno == EINTR);
      socklen_t length = sizeof error;
      if (ready == 0)
        error = ETIMEDOUT;
      else
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    }
    if (error == 0) {
      int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      return fd;
    }
    close(fd);
  }
  fail(ErrorCode::kIo, "no server answers at {}:{}: {}; `turgo serve api_server MODEL` starts one",
       quote(server.host, 100), server.port, std::strerror(error));
}

std::string request_text(const ServerUrl& server, const HttpExchange::Request& r) {
  bool is_ipv6 = server.host.find(':') != std::string::npos;
  std::string text = fmt::format("{} {}{} HTTP/1.1\r\nHost: {}:{}\r\n", r.method, server.prefix, r.path,
                                 is_ipv6 ? "[" + server.host + "]" : server.host, server.port);
  if (!r.api_key.empty()) text += fmt::format("Authorization: Bearer {}\r\n", r.api_key);
  for (const auto& [name, value] : r.fields) text += fmt::format("{}: {}\r\n", name, value);
  if (r.method != "GET")
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", r.body.size());
  return text + "\r\n" + r.body;
}

}  // namespace

ServerUrl parse_server_url(const std::string& url) {
  ServerUrl out;
  std::string rest = url;
  if (rest.starts_with("https://"))
    fail(ErrorCode::kUnsupported, "{}: https is not built yet in the client; expected http://HOST:PORT",
         quote(url, 200));
  if (rest.starts_with("http://")) rest = rest.substr(7);
  size_t slash = std::min(rest.find('/'), rest.size());
  out.prefix = rest.substr(slash);
  while (out.prefix.ends_with('/')) out.prefix.pop_back();
  rest = rest.substr(0, slash);
  size_t colon = rest.rfind(':');
  if (rest.starts_with('[')) {
    size_t end = rest.find(']');
    if (end == std::string::npos) end = 0;
    out.host = end ? rest.substr(1, end - 1) : "";
    colon = end + 1 < rest.size() ? end + 1 : std::string::npos;
  } else {
    out.host = rest.substr(0, colon);
  }
  if (colon != std::string::npos && colon < rest.size()) {
    std::string digits = rest.substr(colon + 1);
    bool good =
        !digits.empty() && digits.size() < 6 && digits.find_first_not_of("0123456789") == std::string::npos;
    out.port = good ? std::stoi(digits) : 0;
  }
  auto is_bad = [](unsigned char c) { return c <= ' ' || c == 127; };
  if (out.host.empty() || out.port < 1 || out.port > 65535 || std::any_of(url.begin(), url.end(), is_bad))
    fail(ErrorCode::kInvalidArgument, "expected a server's address as http://localhost:23333, got {}",
         quote(url, 200));
  return out;
}

struct HttpExchange::State {
  int fd = -1;
  std::string out;  // of the request, still to be sent
  size_t sent = 0;
  http::response_parser<http::buffer_body> parser;
  std::string raw;   // came, not parsed yet
  std::string body;  // parsed, not taken yet
  std::array<char, 16384> piece{};
  bool is_done = false;

  ~State() {
    if (fd >= 0) close(fd);
  }
  void send_some();
  void receive_some();
  void parse();
};

void HttpExchange::State::send_some() {
  while (sent < out.size()) {
    ssize_t n = send(fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    // A server that refuses a body answers before it has read it: the answer is worth reading.
    if (n < 0) {
      sent = out.size();
      return;
    }
    sent += static_cast<size_t>(n);
  }
}

void HttpExchange::State::parse() {
  boost::system::error_code wrong;
  while (!raw.empty() && !parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    parser.get().body().more = true;
    size_t used = parser.put(boost::asio::buffer(raw), wrong);
    if (parser.is_header_done()) body.append(piece.data(), piece.size() - parser.get().body().size);
    raw.erase(0, used);
    if (wrong == http::error::need_buffer) wrong = {};
    if (wrong == http::error::need_more) return;
    if (wrong) fail(ErrorCode::kCorrupt, "the server's answer is no HTTP: {}", wrong.message());
    if (used == 0 && !parser.is_done()) return;
  }
}

void HttpExchange::State::receive_some() {
  std::array<char, 16384> bytes;
  for (int i = 0; i < 4 && !is_done; ++i) {
    ssize_t n = recv(fd, bytes.data(), bytes.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n < 0) fail(ErrorCode::kIo, "the connection to the server broke: {}", std::strerror(errno));
    if (n == 0) {
      boost::system::error_code wrong;
      parser.put_eof(wrong);
      if (wrong || !parser.is_done())
        fail(ErrorCode::kIo, "the server closed the connection before its answer was complete");
    }
    raw.append(bytes.data(), static_cast<size_t>(n));
    parse();
    is_done = parser.is_done();
  }
}

HttpExchange::HttpExchange(const ServerUrl& server, const Request& request, int open)
    : state_(std::make_unique<State>()) {
  state_->fd = open >= 0 ? open : connect_to(server);
  state_->out = request_text(server, request);
  state_->parser.header_limit(32 << 10);
  state_->parser.body_limit(boost::none);
  state_->parser.eager(true);
  state_->send_some();
}

HttpExchange::~HttpExchange() = default;

int HttpExchange::fd() const {
  return state_->fd;
}

short HttpExchange::events() const {
  return static_cast<short>(POLLIN | (state_->sent < state_->out.size() ? POLLOUT : 0));
}

void HttpExchange::advance() {
  if (state_->is_done) return;
  state_->send_some();
  state_->receive_some();
}

int HttpExchange::status() const {
  return state_->parser.is_header_done() ? static_cast<int>(state_->parser.get().result_int()) : 0;
}

std::string HttpExchange::header(const std::string& name) const {
  return state_->parser.is_header_done() ? std::string(state_->parser.get()[name]) : "";
}

std::string HttpExchange::take_body() {
  return std::exchange(state_->body, "");
}

bool HttpExchange::done() const {
  return state_->is_done;
}

int HttpExchange::take_connection() {
  if (!state_->is_done || !state_->parser.get().keep_alive() || !state_->raw.empty()) return -1;
  return std::exchange(state_->fd, -1);
}

void HttpExchange::wait(int milliseconds) {
  auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
  while (!done() && state_->body.empty()) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd poller{fd(), events(), 0};
    int ready = poll(&poller, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (ready <= 0) return;  // also for a signal: the caller looks
    advance();
  }
}

HttpAnswer fetch(const ServerUrl& server, const HttpExchange::Request& request, double seconds,
                 size_t max_bytes) {
  HttpExchange exchange(server, request);
  HttpAnswer answer;
  auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (!exchange.done()) {
    if (Clock::now() > end) fail(ErrorCode::kIo, "the server did not answer in {} s", seconds);
    exchange.wait(100);
    answer.body += exchange.take_body();
    if (answer.body.size() > max_bytes)
      fail(ErrorCode::kCorrupt, "the server's answer is longer than {} bytes", max_bytes);
  }
  answer.body += exchange.take_body();
  answer.status = exchange.status();
  return answer;
}

bool LineCutter::next(std::string& line) {
  size_t end = buffer_.find('\n', begin_);
  if (end == std::string::npos) {
    buffer_.erase(0, begin_);
    begin_ = 0;
    return false;
  }
  line = buffer_.substr(begin_, end - begin_);
  if (line.ends_with('\r')) line.pop_back();
  begin_ = end + 1;
  return true;
}

bool LineCutter::next_event(std::string& data) {
  while (next(data)) {
    if (!data.starts_with("data:")) continue;
    data.erase(0, data.starts_with("data: ") ? 6 : 5);
    return true;
  }
  return false;
}

}  // namespace turgo
