// One HTTP/1.1 request to a server and its answer as it comes, without blocking: a caller polls fd() for
// events() and calls advance(), so that one thread can hold hundreds of them. Plain http:// only.
// What the server sends is bounded: header 32 KiB, and the caller takes the body piece by piece.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "serve/http/http_message.h"

namespace turgo {

struct ServerUrl {
  std::string host;  // name or address, without brackets
  int port = 80;
  std::string prefix;  // path in front of every route, "" or "/llm"
};

// "http://localhost:23333". Throws Error{kInvalidArgument} for what is none, kUnsupported for https.
ServerUrl parse_server_url(const std::string& url);

class HttpExchange {
 public:
  struct Request {
    std::string method = "GET", path = "/", body, api_key;  // path without the prefix
    HttpFields fields = {};                                 // more of them
  };
  // Throws Error{kIo} where no connection can be begun. `open` continues on the connection of a finished
  // exchange that left it open (take_connection()), or -1.
  HttpExchange(const ServerUrl& server, const Request& request, int open = -1);
  ~HttpExchange();
  HttpExchange(const HttpExchange&) = delete;
  HttpExchange& operator=(const HttpExchange&) = delete;

  int fd() const;
  short events() const;  // POLLIN, POLLOUT
  // Does what can be done now. Throws Error{kIo} for a broken connection, Error{kCorrupt} for what is no
  // HTTP.
  void advance();
  int status() const;  // 0: no header yet
  std::string header(const std::string& name) const;
  std::string take_body();  // what came since the last call
  bool done() const;
  int take_connection();  // -1: it can not be used again. Only when done().

  // advance() until there is something to take, the answer is complete, or `milliseconds` have passed.
  void wait(int milliseconds);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The whole answer. Throws as HttpExchange does, and Error{kIo} after `seconds`.
struct HttpAnswer {
  int status = 0;
  std::string body;
};
HttpAnswer fetch(const ServerUrl& server, const HttpExchange::Request& request, double seconds = 60,
                 size_t max_bytes = 64 << 20);

// Cuts a stream of bytes into lines (NDJSON) or the data of server-sent events.
class LineCutter {
 public:
  void add(std::string_view bytes) { buffer_ += bytes; }
  bool next(std::string& line);        // without its end; a CR is dropped
  bool next_event(std::string& data);  // of an SSE "data: " line; other lines are skipped

 private:
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace turgo
