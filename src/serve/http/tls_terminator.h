// TLS in front of the plain server: a connection's bytes are decrypted into one end of a local socket pair,
// and the server serves the other end as if it were the peer. Costs two descriptors and a copy per
// connection, and keeps OpenSSL out of everything else. The only file beside http_server.cpp that knows Asio.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

namespace turgo {

class TlsTerminator {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  // PEM files; at least TLS 1.2. Throws Error{kNotFound, kInvalidArgument}.
  static std::unique_ptr<TlsTerminator> create(boost::asio::io_context& io, const std::string& cert_path,
                                               const std::string& key_path);
  virtual ~TlsTerminator() = default;

  // The plain end of `encrypted`. All on the thread of the io_context.
  virtual Socket attach(Socket encrypted) = 0;
  // Reads the files again for connections to come; if they are bad it throws, and the old ones stay.
  virtual void reload() = 0;
};

}  // namespace turgo
