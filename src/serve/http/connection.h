// One connection of the HTTP server: a coroutine that reads requests, has them handled and writes the
// answers. Everything runs on the server's one I/O thread but what Host::pool() does.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "serve/http/http_server.h"

namespace turgo {

class Connection : public std::enable_shared_from_this<Connection>, private HttpWriter {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;  // TCP and unix alike

  // What a connection needs of its server.
  class Host {
   public:
    virtual ~Host() = default;
    virtual const HttpServerConfig& config() const = 0;
    virtual HttpHandler& handler() = 0;
    virtual const std::shared_ptr<boost::asio::io_context>& io() = 0;
    virtual boost::asio::thread_pool& pool() = 0;
    virtual bool is_draining() const = 0;
    virtual bool has_loopback_address() const = 0;
    virtual void add(Connection* connection) = 0;
    virtual void remove(Connection* connection) = 0;
  };

  Connection(Host& host, Socket socket, std::string client);
  ~Connection() override;

  boost::asio::awaitable<void> run();
  void close_if_idle();
  void interrupt();  // the answer ends with an error; what is not answering yet is closed
  void abort();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;
  using error_code = boost::system::error_code;
  template <class T>
  using awaitable = boost::asio::awaitable<T>;

  awaitable<bool> read_header(Parser& parser);
  awaitable<bool> read_body(Parser& parser, bool expects_continue);
  awaitable<bool> answer_request(HttpRequest request, bool is_cheap);
  awaitable<void> answer(std::unique_ptr<Responder> responder);
  awaitable<std::unique_ptr<Responder>> handle(HttpRequest request, bool is_cheap);
  awaitable<bool> flush();
  awaitable<void> wait_for_event();
  awaitable<void> stop_watching();
  awaitable<void> linger();
  awaitable<bool> serve_one();
  HttpRequest take_head(const Parser& parser);
  HttpHandler::Admission admit(const HttpRequest& request, const HttpRefusal& broken, unsigned version);
  std::function<void()> make_waker();
  void finish_log();
  void notify();
  void watch_for_end();
  void watched(const error_code& ec, size_t num_bytes);
  void arm(double seconds);
  void refuse(int status, const std::string& reason);
  void put_head(const HttpHead& head);

  void respond(HttpResponse response) override;
  void begin(HttpHead head) override;
  void write(std::string_view text) override;
  void note(const AnswerNote& answer) override { log_.answer = answer; }

  Host& host_;
  Socket socket_;
  std::string client_;
  boost::asio::steady_timer deadline_, event_;
  boost::asio::cancellation_signal stop_watching_;
  boost::beast::flat_buffer buffer_;
  std::string out_;
  HttpLogEntry log_;
  std::chrono::steady_clock::time_point begin_;
  bool idle_ = true;          // between requests
  bool answering_ = false;    // a responder is at work
  bool interrupted_ = false;  // it is to end now
  bool expired_ = false;      // the deadline has cancelled an operation
  bool gone_ = false;         // the peer, or the server's patience
  bool ready_ = false;        // somebody called notify()
  bool watching_ = false;     // a read is pending while an answer is made
  bool stopping_ = false;     // and is to end
  bool keep_alive_ = false, is_http_1_0_ = false, is_head_ = false, began_ = false, chunked_ = false;
  bool has_parent_trace_ = false;
};

}  // namespace turgo
