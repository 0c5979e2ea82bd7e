// An HTTP/1.1 server for answers that take long and come in pieces. One I/O thread runs every connection as a
// coroutine; whole requests are handled on a few worker threads, so that a long prompt delays nobody's
// tokens. Answers are pulled: a Responder is asked for more when its source woke it and the last piece is
// written, so a slow reader costs a bounded buffer, and a client that left costs nothing: its Responder is
// destroyed at once.
// No exception, size or pace of a peer's bytes reaches beyond its own connection.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "serve/http/http_log.h"
#include "serve/http/http_message.h"

namespace turgo {

// Where an answer goes. Either respond() once, or begin() and then write() any number of times.
class HttpWriter {
 public:
  virtual ~HttpWriter() = default;
  virtual void respond(HttpResponse response) = 0;
  virtual void begin(HttpHead head) = 0;  // an answer in pieces: chunked, or to the end of the connection
  virtual void write(std::string_view text) = 0;
  // What is known of the answer by now, for the log; the last one counts.
  virtual void note(const AnswerNote& answer) { static_cast<void>(answer); }
};

// One answer on its way. Lives on the I/O thread; destroyed when it is done or the client has gone.
class Responder {
 public:
  virtual ~Responder() = default;
  // Once, before the first advance(). `wake` may be called from any thread and any number of times, also
  // after this object is gone: it makes advance() be called soon.
  virtual void start(std::function<void()> wake) = 0;
  // Writes what there is now, without blocking. True: the answer is complete.
  virtual bool advance(HttpWriter& out) = 0;
  // The server can not wait for the end: writes an error in the form that this answer has. False: there is
  // none, and the connection is cut so that nobody takes the part for the whole.
  virtual bool interrupt(HttpWriter& out, int status, const std::string& reason) {
    return static_cast<void>(out), static_cast<void>(status), static_cast<void>(reason), false;
  }
};

// An answer that is complete already.
std::unique_ptr<Responder> respond_with(HttpResponse response);

class HttpHandler {
 public:
  struct Admission {
    std::optional<HttpResponse> refusal;
    size_t max_body = 0;
    bool is_cheap = false;    // handle() takes microseconds: it runs on the I/O thread
    std::string caller = {};  // for the log
  };

  virtual ~HttpHandler() = default;
  // By the header alone, on the I/O thread, before a byte of the body is waited for.
  virtual Admission admit(const HttpRequest& head) = 0;
  // On a worker thread. What it throws becomes a 500.
  virtual std::unique_ptr<Responder> handle(HttpRequest request) = 0;
  // The answer for what the server itself refuses (broken HTTP, limits, drain).
  virtual HttpResponse refuse(int status, const std::string& reason) = 0;
  // On the I/O thread, for each request that had a readable header.
  virtual void finished(const HttpLogEntry& entry) { static_cast<void>(entry); }
};

struct HttpServerConfig {
  std::string address = "127.0.0.1";      // a name or an IP
  int port = 0;                           // 0 = any free one
  std::string unix_socket;                // path; served beside nothing else if `address` is ""
  std::string ssl_certfile, ssl_keyfile;  // PEM; both or none. TLS on TCP; a unix socket stays plain
  size_t max_header_bytes = 32 << 10, max_target_bytes = 8 << 10, max_fields = 100;
  size_t max_connections = 4096;
  int num_workers = 4;
  double header_seconds = 10, body_seconds = 60, idle_seconds = 75;
  double write_seconds = 60;  // for a piece that the peer does not take
  double drain_seconds = 30;
  bool handle_signals = false;      // SIGTERM and SIGINT drain, the second one stops at once; SIGHUP reloads
  std::function<void()> on_reload;  // what SIGHUP reads again beside the certificate; may throw Error
  std::function<void()> on_drain;   // called once, when no new connection is taken any more
};

class HttpServer {
 public:
  // Binds and listens; `handler` outlives the server. Throws Error{kInvalidArgument, kIo} for an address that
  // can not be had.
  static std::unique_ptr<HttpServer> listen(const HttpServerConfig& config, HttpHandler& handler);
  virtual ~HttpServer() = default;

  virtual void run() = 0;  // serves on the calling thread until it has drained
  // From any thread: refuses what is new, ends idle connections, lets answers end for drain_seconds and then
  // interrupts them.
  virtual void drain() = 0;
  virtual bool draining() const = 0;
  virtual int port() const = 0;  // 0 = unix socket only
  virtual bool is_loopback() const = 0;
  virtual size_t num_connections() const = 0;
};

}  // namespace turgo
