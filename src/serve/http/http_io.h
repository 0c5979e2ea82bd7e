// The I/O thread's loop, for a handler whose own connections and timers run on it beside the server, without
// locks. Apart from http_server.h, so that whoever only answers requests knows no network library.
#pragma once

#include <memory>

namespace boost::asio {
class io_context;
}

namespace turgo {

class HttpServer;

std::shared_ptr<boost::asio::io_context> io_context_of(const HttpServer& server);

}  // namespace turgo
