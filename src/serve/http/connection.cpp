// The only file beside http_server.cpp that includes Beast: its request parser, driven by a coroutine.
#include "serve/http/connection.h"

#include <malloc.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/read.hpp>
#include <ctime>

#include "core/error.h"
#include "core/log.h"

namespace turgo {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

namespace {

constexpr size_t kLargeBody = 1 << 20;   // more leaves memory behind that is worth giving back
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

}  // namespace

Connection::Connection(Host& host, Socket socket, std::string client)
    : host_(host),
      socket_(std::move(socket)),
      client_(std::move(client)),
      deadline_(*host.io()),
      event_(*host.io()),
      buffer_(kMaxBuffer) {
  int on = 1;
  ::setsockopt(socket_.native_handle(), IPPROTO_TCP, 1 /* TCP_NODELAY */, &on, sizeof on);
  host_.add(this);
}

Connection::~Connection() {
  host_.remove(this);
}

void Connection::notify() {
  ready_ = true;
  event_.cancel();
}

void Connection::close_if_idle() {
  if (idle_) abort();
}

void Connection::interrupt() {
  if (!answering_) return abort();
  interrupted_ = true;
  notify();
}

void Connection::abort() {
  gone_ = true;
  error_code ignored;
  socket_.close(ignored);
  notify();
}

asio::awaitable<void> Connection::run() {
  auto self = shared_from_this();
  while (!gone_ && co_await serve_one()) {
  }
  deadline_.cancel();
  error_code ignored;
  socket_.close(ignored);
}

// The id that the caller gave, if it is a plain one: it goes into headers and logs.
static bool is_plain_id(std::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '"' && c != '\\';
  });
}

HttpRequest Connection::take_head(const Parser& parser) {
  const auto& message = parser.get();
  HttpRequest request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.from_loopback = host_.has_loopback_address();
  for (const auto& field : message) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    request.fields.emplace_back(std::move(name), std::string(field.value()));
  }
  std::string_view parent = request.field("traceparent"), id = request.field("x-request-id");
  has_parent_trace_ = !parent.empty();
  request.trace = continue_trace(parent);
  request.request_id = is_plain_id(id) ? std::string(id) : request.trace.trace_id;
  return request;
}

HttpHandler::Admission Connection::admit(const HttpRequest& request, const HttpRefusal& broken,
                                         unsigned version) {
  auto no = [&](int status, const std::string& reason) {
    return HttpHandler::Admission{host_.handler().refuse(status, reason), 0, false};
  };
  std::string_view expect = request.field("expect");
  if (version != 10 && version != 11) return no(505, "expected HTTP/1.1");
  if (broken.status != 0) return no(broken.status, broken.reason);
  if (!expect.empty() && !beast::iequals({expect.data(), expect.size()}, "100-continue"))
    return no(417, "Expect: only 100-continue is known");
  if (host_.is_draining()) return no(503, "the server is shutting down");
  return host_.handler().admit(request);
}

void Connection::finish_log() {
  log_.seconds = seconds_since(begin_);
  host_.handler().finished(log_);
}

// True: the connection stays for another request.
asio::awaitable<bool> Connection::serve_one() {
  idle_ = true;
  if (buffer_.size() == 0) buffer_.shrink_to_fit();
  keep_alive_ = is_head_ = is_http_1_0_ = began_ = chunked_ = false;
  log_ = {};
  if (buffer_.size() == 0) {
    arm(host_.config().idle_seconds);
    error_code ec;
    size_t n = co_await socket_.async_read_some(buffer_.prepare(4096),
                                                asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return false;
    buffer_.commit(n);
  }
  idle_ = false;
  Parser parser;
  parser.header_limit(static_cast<uint32_t>(host_.config().max_header_bytes));
  parser.body_limit(boost::none);
  if (!co_await read_header(parser)) {
    co_await flush();
    co_await linger();
    co_return false;
  }

  begin_ = Clock::now();
  HttpRequest request = take_head(parser);
  is_http_1_0_ = parser.get().version() == 10;
  is_head_ = request.method == "HEAD";
  bool peer_keeps = parser.keep_alive();
  HttpRefusal broken =
      check_request_head(request, is_http_1_0_, host_.config().max_fields, host_.config().max_target_bytes);
  log_.method = request.method;
  log_.path = request.path;
  log_.client = client_;
  log_.request_id = request.request_id;
  log_.trace = request.trace;
  log_.begin = std::chrono::system_clock::now();
  HttpHandler::Admission admission = admit(request, broken, parser.get().version());
  log_.caller = std::move(admission.caller);

  if (admission.refusal) {
    // A body that is still to come is not read: the connection ends with this answer.
    keep_alive_ = peer_keeps && parser.is_done() && broken.status == 0 && !host_.is_draining();
    respond(std::move(*admission.refusal));
    bool sent = co_await flush();
    finish_log();
    if (sent && !keep_alive_) co_await linger();
    co_return sent&& keep_alive_;
  }
  parser.body_limit(admission.max_body);
  // What came with the header was counted before the limit was known.
  bool fits = !parser.content_length() || *parser.content_length() <= admission.max_body;
  if (!fits) refuse(413, fmt::format("the body is larger than {} bytes", admission.max_body));
  if (!fits || !co_await read_body(parser, !request.field("expect").empty())) {
    co_await flush();
    finish_log();
    co_await linger();
    co_return false;
  }
  request.body = std::move(parser.get().body());
  keep_alive_ = peer_keeps;
  co_return co_await answer_request(std::move(request), admission.is_cheap);
}

asio::awaitable<bool> Connection::answer_request(HttpRequest request, bool is_cheap) {
  deadline_.cancel();
  if (!is_cheap) watch_for_end();
  answering_ = true;
  std::unique_ptr<Responder> responder = co_await handle(std::move(request), is_cheap);
  co_await answer(std::move(responder));
  answering_ = false;
  if (watching_) co_await stop_watching();
  log_.aborted = gone_;
  finish_log();
  if (gone_ || !keep_alive_) {
    if (!gone_) co_await linger();
    co_return false;
  }
  co_return !host_.is_draining();
}

asio::awaitable<bool> Connection::read_header(Parser& parser) {
  arm(host_.config().header_seconds);
  error_code ec;
  co_await http::async_read_header(socket_, buffer_, parser, asio::redirect_error(asio::use_awaitable, ec));
  if (!ec) co_return true;
  if (expired_)
    refuse(408, "the header of the request did not come in time");
  else if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
    refuse(431,
           fmt::format("the header of the request is larger than {} bytes", host_.config().max_header_bytes));
  else if (ec == http::error::bad_version)
    refuse(505, "expected HTTP/1.1");
  else if (ec.category() == http::make_error_code(http::error::bad_target).category() &&
           ec != http::error::end_of_stream && ec != http::error::partial_message)
    refuse(400, "the request is not HTTP: " + ec.message());
  co_return false;
}

asio::awaitable<bool> Connection::read_body(Parser& parser, bool expects_continue) {
  if (parser.is_done()) co_return true;
  arm(host_.config().body_seconds);
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
      responder = host_.handler().handle(std::move(request));
    } catch (const std::exception& error) {
      log_line(LogLevel::kError, fmt::format("{} {}: {}", log_.method, quote(log_.path), error.what()));
      responder = respond_with(host_.handler().refuse(500, "internal error"));
    }
  };
  if (is_cheap) {
    work();
    co_return responder;
  }
  bool handled = false, is_large = request.body.size() > kLargeBody;
  asio::post(host_.pool(), [this, &work, &handled, is_large] {
    work();
    if (is_large) malloc_trim(0);  // glibc keeps what the many small pieces of its JSON left
    asio::post(*host_.io(), [this, &handled] {
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
      if (interrupted_) {
        static constexpr const char* kWhy = "the server shut down before the answer was complete";
        keep_alive_ = false;
        done = responder->interrupt(*this, 503, kWhy);
        if (!done && began_) {
          gone_ = true;
          break;
        }
        if (!done) refuse(503, kWhy);
        done = true;
      } else {
        done = responder->advance(*this);
      }
      if (done && chunked_) out_ += "0\r\n\r\n";
    } catch (const std::exception& error) {
      log_line(LogLevel::kError, fmt::format("{} {}: {}", log_.method, quote(log_.path), error.what()));
      done = true;
      keep_alive_ = false;
      if (!began_) refuse(500, "internal error");
    }
    if (!out_.empty() && !co_await flush()) gone_ = true;
    if (gone_) break;
    if (done || ready_) continue;
    if (!watching_) watch_for_end();  // one that took microseconds and still waits for something
    co_await wait_for_event();
  }
  if (!log_.status) keep_alive_ = false;
}

std::function<void()> Connection::make_waker() {
  auto posted = std::make_shared<std::atomic<bool>>(false);
  return [io = host_.io(), weak = weak_from_this(), posted] {
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
  arm(host_.config().write_seconds);
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
  respond(host_.handler().refuse(status, reason));
}

void Connection::put_head(const HttpHead& head) {
  log_.status = head.status;
  log_.error = head.error;
  out_ += fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", head.status, http_reason(head.status), http_date());
  if (!head.content_type.empty()) out_ += fmt::format("Content-Type: {}\r\n", head.content_type);
  for (const auto& [name, value] : head.fields) {
    // The one place where text could split a header.
    CHECK(value.find_first_of("\r\n") == std::string::npos, "header {}", name);
    out_ += fmt::format("{}: {}\r\n", name, value);
  }
  if (!log_.request_id.empty()) out_ += fmt::format("X-Request-Id: {}\r\n", log_.request_id);
  if (has_parent_trace_) out_ += fmt::format("traceresponse: {}\r\n", to_traceparent(log_.trace));
  if (host_.is_draining()) keep_alive_ = false;
  if (!keep_alive_)
    out_ += "Connection: close\r\n";
  else if (is_http_1_0_)
    out_ += "Connection: keep-alive\r\n";
}

void Connection::respond(HttpResponse response) {
  CHECK(!began_);
  began_ = true;
  put_head(response.head);
  if (response.head.status != 204 && response.head.status != 304)
    out_ += fmt::format("Content-Length: {}\r\n", response.body.size());
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

}  // namespace turgo
