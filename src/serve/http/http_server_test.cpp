// The server over real sockets with a handler of a few lines: framing, limits, keep-alive, streams, drain.
#include "serve/http/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "core/error.h"

namespace turgo {
namespace {

using namespace std::chrono_literals;

// A stream that a test feeds by hand.
struct Feed {
  std::mutex mutex;
  std::string text;
  bool ended = false;
  std::function<void()> wake;
  std::atomic<bool> gone{false};

  void put(std::string_view more, bool end = false) {
    std::function<void()> call;
    {
      std::lock_guard lock(mutex);
      text += more;
      ended = ended || end;
      call = wake;
    }
    if (call) call();
  }
};

class FeedResponder : public Responder {
 public:
  explicit FeedResponder(std::shared_ptr<Feed> feed) : feed_(std::move(feed)) {}
  ~FeedResponder() override { feed_->gone = true; }
  void start(std::function<void()> wake) override {
    std::lock_guard lock(feed_->mutex);
    feed_->wake = std::move(wake);
  }
  bool advance(HttpWriter& out) override {
    std::lock_guard lock(feed_->mutex);
    if (!began_) out.begin({200, "text/event-stream", {}});
    began_ = true;
    out.write(std::exchange(feed_->text, {}));
    return feed_->ended;
  }

 private:
  std::shared_ptr<Feed> feed_;
  bool began_ = false;
};

class TestHandler : public HttpHandler {
 public:
  std::shared_ptr<Feed> feed = std::make_shared<Feed>();

  Admission admit(const HttpRequest& head) override {
    if (head.path == "/secret") return {HttpResponse{{401, "text/plain", {}}, "no"}, 0, false};
    return {std::nullopt, 1000, head.path == "/cheap"};
  }
  std::unique_ptr<Responder> handle(HttpRequest request) override {
    if (request.path == "/feed") return std::make_unique<FeedResponder>(feed);
    if (request.path == "/throw") throw std::runtime_error("thrown");
    return respond_with({{200, "text/plain", {}}, request.method + " " + request.path + " " + request.body});
  }
  HttpResponse refuse(int status, const std::string& reason) override {
    return {{status, "text/plain", {}}, reason};
  }
  void finished(const HttpLogEntry& entry) override { num_finished += entry.status != 0; }
  std::atomic<int> num_finished{0};
};

class Client {
 public:
  explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Client() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  bool connected() const { return connected_; }
  void send(std::string_view text) { ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Reads until `until` is in what came, or the end, or two seconds of silence.
  std::string receive(std::string_view until = "") {
    std::string text;
    for (;;) {
      if (!until.empty() && text.find(until) != std::string::npos) return text;
      pollfd p{fd_, POLLIN, 0};
      if (::poll(&p, 1, 2000) <= 0) return text + "[silence]";
      char piece[4096];
      ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
      if (n <= 0) return text + "[end]";
      text.append(piece, static_cast<size_t>(n));
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest() { config_.header_seconds = 0.5, config_.body_seconds = 0.5, config_.drain_seconds = 0.5; }
  ~HttpServerTest() override { stop(); }
  void start() {
    server_ = HttpServer::listen(config_, handler_);
    thread_ = std::thread([this] { server_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    server_->drain();
    thread_.join();
  }
  std::string ask(std::string_view request, std::string_view until = "") {
    Client client(server_->port());
    client.send(request);
    return client.receive(until);
  }
  static int status_of(const std::string& answer) {
    return answer.starts_with("HTTP/1.1 ") ? std::stoi(answer.substr(9, 3)) : 0;
  }

  HttpServerConfig config_;
  TestHandler handler_;
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

TEST_F(HttpServerTest, KeepsTheConnection) {
  start();
  Client client(server_->port());
  for (const char* path : {"/a", "/cheap", "/b"}) {
    client.send(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path));
    std::string answer = client.receive(std::string("GET ") + path);
    EXPECT_EQ(status_of(answer), 200) << answer;
    EXPECT_EQ(answer.find("Connection: close"), std::string::npos);
  }
  client.send("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(client.receive().ends_with("GET /last [end]"));
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  start();
  std::string all;
  for (int i = 0; i < 500; ++i) all += fmt::format("GET /{}x HTTP/1.1\r\nHost: x\r\n\r\n", i);
  Client client(server_->port());
  std::thread sender([&] { client.send(all); });
  std::string answers = client.receive("GET /499x");
  sender.join();
  size_t at = 0;
  for (int i = 0; i < 500; ++i) {
    at = answers.find(fmt::format("GET /{}x", i), at);
    ASSERT_NE(at, std::string::npos) << i;
  }
}

TEST_F(HttpServerTest, Bodies) {
  start();
  EXPECT_NE(
      ask("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "hello").find("POST /p hello"),
      std::string::npos);
  EXPECT_NE(
      ask("POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
          "hello")
          .find("POST /p hello"),
      std::string::npos);
  std::string cont =
      ask("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "\r\n\r\n");
  EXPECT_TRUE(cont.starts_with("HTTP/1.1 100 ")) << cont;
  std::string big(1001, 'x');
  EXPECT_EQ(status_of(ask("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n" + big)), 413);
  EXPECT_EQ(status_of(ask("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n")), 413);
  EXPECT_EQ(status_of(ask("POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + big)),
            413);
  // A refusal by the header alone does not wait for the body.
  EXPECT_EQ(status_of(ask("POST /secret HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")), 401);
}

struct BadRequest {
  const char* name;
  std::string bytes;
  int status, other = 0;  // a second status that is as good
};

TEST_F(HttpServerTest, RefusesBrokenHttp) {
  start();
  std::string many;
  for (int i = 0; i < 101; ++i) many += fmt::format("a{}: 1\r\n", i);
  auto get = [](const std::string& lines) { return "GET / HTTP/1.1\r\nHost: x\r\n" + lines + "\r\n"; };
  auto post = [](const std::string& lines) { return "POST / HTTP/1.1\r\nHost: x\r\n" + lines; };
  const BadRequest rows[] = {
      {"header of 1 MiB", get("a: " + std::string(1 << 20, 'b') + "\r\n"), 431},
      {"101 fields", get(many), 431},
      {"target of 64 KiB", "GET /" + std::string(65536, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414, 431},
      {"target of 9 KiB", "GET /" + std::string(9216, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n", 414},
      {"length and chunked", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"), 400},
      {"two lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400},
      {"length -1", post("Content-Length: -1\r\n\r\n"), 400},
      {"length +5", post("Content-Length: +5\r\n\r\nabcde"), 400},
      {"length 2^64", post("Content-Length: 18446744073709551616\r\n\r\n"), 400},
      {"chunked, identity", post("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"), 501, 400},
      {"chunk -2", post("Transfer-Encoding: chunked\r\n\r\n-2\r\nab\r\n0\r\n\r\n"), 400},
      {"chunk 2^64-1", post("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n"), 413, 400},
      {"extension of 1 MB",
       post("Transfer-Encoding: chunked\r\n\r\n1;a=" + std::string(1 << 20, 'b') + "\r\n"), 400, 413},
      {"bare LF", "GET / HTTP/1.1\nHost: x\n\n", 400, 505},
      {"bare CR in a value", get("a: b\rc\r\n"), 400},
      {"NUL in a value", get(std::string("a: b\0c\r\n", 8)), 400},
      {"space before the colon", get("a : b\r\n"), 400},
      {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two Hosts", get("Host: y\r\n"), 400},
      {"HTTP/0.9", "GET /\r\n\r\n", 400, 505},
      {"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505},
      {"HTTP/3.1", "GET / HTTP/3.1\r\nHost: x\r\n\r\n", 505},
      {"CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 405, 400},
      {"dots", "GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"escaped dots", "GET /%2e%2e/b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"twice escaped", "GET /%252e%252e/b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"escaped NUL", "GET /a%00 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
      {"Expect other", get("Expect: tea\r\nConnection: close\r\n"), 417},
      {"slow header", "GET / HTTP/1.1\r\nHost:", 408},
      {"slow body", post("Content-Length: 10\r\n\r\nabc"), 408},
      {"no last chunk", post("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), 408},
  };
  for (const BadRequest& row : rows) {
    std::string answer = ask(row.bytes);
    int status = status_of(answer);
    EXPECT_TRUE(status == row.status || (row.other && status == row.other))
        << row.name << ": " << answer.substr(0, 200);
    EXPECT_TRUE(answer.ends_with("[end]")) << row.name;
    EXPECT_EQ(status_of(ask(get(""), "GET / ")), 200) << "after " << row.name;
  }
}

TEST_F(HttpServerTest, TinyChunks) {
  start();
  std::string body;
  for (int i = 0; i < 1000; ++i) body += "1\r\nx\r\n";
  std::string answer =
      ask("POST /t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body + "0\r\n\r\n",
          std::string(1000, 'x'));
  EXPECT_EQ(status_of(answer), 200);
}

TEST_F(HttpServerTest, StreamsInPieces) {
  start();
  Client client(server_->port());
  client.send("GET /feed HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(client.receive("\r\n\r\n").find("Transfer-Encoding: chunked"), std::string::npos);
  handler_.feed->put("data: 1\n\n");
  EXPECT_EQ(client.receive("1\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
  handler_.feed->put("data: 2\n\n", true);
  EXPECT_EQ(client.receive("0\r\n\r\n"), "9\r\ndata: 2\n\n\r\n0\r\n\r\n");
  client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n");  // the connection goes on
  EXPECT_EQ(status_of(client.receive("/next")), 200);
}

TEST_F(HttpServerTest, SeesThatAClientLeft) {
  start();
  Client client(server_->port());
  client.send("GET /feed HTTP/1.1\r\nHost: x\r\n\r\n");
  client.receive("\r\n\r\n");
  EXPECT_FALSE(handler_.feed->gone);
  client.close();
  for (int i = 0; i < 200 && !handler_.feed->gone; ++i) std::this_thread::sleep_for(5ms);
  EXPECT_TRUE(handler_.feed->gone);
  handler_.feed->put("late");  // a late wake of a stream that is gone is harmless
}

TEST_F(HttpServerTest, AThrowingHandlerIsA500) {
  start();
  EXPECT_EQ(status_of(ask("GET /throw HTTP/1.1\r\nHost: x\r\n\r\n", "error")), 500);
  EXPECT_EQ(status_of(ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "/a")), 200);
}

TEST_F(HttpServerTest, HeadHasNoBodyAndHttp10Closes) {
  start();
  std::string head = ask("HEAD /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(head.ends_with("\r\n\r\n[end]")) << head;
  EXPECT_TRUE(ask("GET /a HTTP/1.0\r\n\r\n").ends_with("GET /a [end]"));
  handler_.feed->put("text", true);
  std::string old = ask("GET /feed HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.ends_with("\r\n\r\ntext[end]")) << old;
}

TEST_F(HttpServerTest, LimitsConnections) {
  config_.max_connections = 2;
  start();
  Client one(server_->port()), two(server_->port());
  one.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  one.receive("/a");
  two.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n");
  two.receive("/a");
  EXPECT_EQ(status_of(ask("")), 503);
}

TEST_F(HttpServerTest, DrainLetsAnswersEnd) {
  config_.drain_seconds = 10;
  start();
  Client busy(server_->port()), idle(server_->port());
  busy.send("GET /feed HTTP/1.1\r\nHost: x\r\n\r\n");
  busy.receive("\r\n\r\n");
  int port = server_->port();
  server_->drain();
  EXPECT_EQ(idle.receive(), "[end]");
  EXPECT_FALSE(Client(port).connected());
  handler_.feed->put("the rest", true);
  EXPECT_TRUE(busy.receive().ends_with("the rest\r\n0\r\n\r\n[end]"));
  thread_.join();
  EXPECT_EQ(server_->num_connections(), 0U);
}

TEST_F(HttpServerTest, DrainEndsWhatTakesTooLong) {
  start();
  Client client(server_->port());
  client.send("GET /feed HTTP/1.1\r\nHost: x\r\n\r\n");
  client.receive("\r\n\r\n");
  server_->drain();
  thread_.join();
  EXPECT_TRUE(handler_.feed->gone);
}

TEST_F(HttpServerTest, ASlowReaderHoldsNobodyUp) {
  start();
  Client slow(server_->port());
  slow.send("GET /feed HTTP/1.1\r\nHost: x\r\n\r\n");
  handler_.feed->put(std::string(32 << 20, 'x'));  // far more than the sockets' buffers take
  for (int i = 0; i < 20; ++i) EXPECT_EQ(status_of(ask("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "/a")), 200);
}

TEST(HttpServer, RefusesAddressesItCanNotHave) {
  TestHandler handler;
  HttpServerConfig config;
  config.address = "192.0.2.1";
  EXPECT_THROW(HttpServer::listen(config, handler), Error);
  config.address = "no such name.invalid";
  EXPECT_THROW(HttpServer::listen(config, handler), Error);
  config.address = "";
  config.unix_socket = std::string(200, 'x');
  EXPECT_THROW(HttpServer::listen(config, handler), Error);
}

}  // namespace
}  // namespace turgo
