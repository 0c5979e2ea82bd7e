#include "serve/http/tls_terminator.h"

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "core/error.h"

namespace turgo {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;

constexpr auto kHandshakeTime = std::chrono::seconds(10), kWriteTime = std::chrono::seconds(60),
               kShutdownTime = std::chrono::seconds(2);

// One connection: bytes go both ways until either side closes.
class Pump : public std::enable_shared_from_this<Pump> {
 public:
  using Socket = TlsTerminator::Socket;

  Pump(asio::io_context& io, std::shared_ptr<ssl::context> context, Socket encrypted, Socket plain)
      : context_(std::move(context)),
        tls_(std::move(encrypted), *context_),
        plain_(std::move(plain)),
        deadline_(io) {}

  asio::awaitable<void> run() {
    auto self = shared_from_this();
    error_code ec;
    arm(kHandshakeTime);
    co_await tls_.async_handshake(ssl::stream_base::server, asio::redirect_error(asio::use_awaitable, ec));
    deadline_.cancel();
    if (ec) co_return close();
    asio::co_spawn(tls_.get_executor(), [self] { return self->decrypt(); }, asio::detached);
    std::array<char, 16 << 10> buffer;
    for (;;) {
      size_t n = co_await plain_.async_read_some(asio::buffer(buffer),
                                                 asio::redirect_error(asio::use_awaitable, ec));
      if (ec) break;
      arm(kWriteTime);
      co_await asio::async_write(tls_, asio::buffer(buffer, n),
                                 asio::redirect_error(asio::use_awaitable, ec));
      deadline_.cancel();
      if (ec) co_return close();
    }
    arm(kShutdownTime);
    co_await tls_.async_shutdown(asio::redirect_error(asio::use_awaitable, ec));
    deadline_.cancel();
    close();
  }

 private:
  asio::awaitable<void> decrypt() {
    auto self = shared_from_this();
    error_code ec;
    std::array<char, 16 << 10> buffer;
    while (!ec) {
      size_t n =
          co_await tls_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, ec));
      if (n == 0) break;
      error_code written;
      co_await asio::async_write(plain_, asio::buffer(buffer, n),
                                 asio::redirect_error(asio::use_awaitable, written));
      if (written) break;
    }
    error_code ignored;
    plain_.shutdown(asio::socket_base::shutdown_send, ignored);  // the server sees the peer leave
  }

  void arm(std::chrono::seconds time) {
    deadline_.expires_after(time);
    deadline_.async_wait([weak = weak_from_this()](error_code ec) {
      if (auto self = weak.lock(); self && !ec) self->close();
    });
  }

  void close() {
    error_code ignored;
    tls_.next_layer().close(ignored);
    plain_.close(ignored);
  }

  std::shared_ptr<ssl::context> context_;
  ssl::stream<Socket> tls_;
  Socket plain_;
  asio::steady_timer deadline_;
};

class OpenSslTerminator : public TlsTerminator {
 public:
  OpenSslTerminator(asio::io_context& io, std::string cert_path, std::string key_path)
      : io_(io), cert_path_(std::move(cert_path)), key_path_(std::move(key_path)) {
    reload();
  }

  Socket attach(Socket encrypted) override {
    asio::local::stream_protocol::socket ours(io_), theirs(io_);
    asio::local::connect_pair(ours, theirs);
    auto pump = std::make_shared<Pump>(io_, context_, std::move(encrypted), std::move(ours));
    asio::co_spawn(io_, [pump] { return pump->run(); }, asio::detached);
    return Socket(std::move(theirs));
  }

  void reload() override {
    auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
    SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
    context->set_options(ssl::context::default_workarounds | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                         SSL_OP_CIPHER_SERVER_PREFERENCE);
    error_code ec;
    context->use_certificate_chain_file(cert_path_, ec);
    if (ec)
      fail(ErrorCode::kInvalidArgument, "--ssl-certfile {}: expected a PEM certificate: {}",
           quote(cert_path_, 200), ec.message());
    context->use_private_key_file(key_path_, ssl::context::pem, ec);
    if (ec)
      fail(ErrorCode::kInvalidArgument, "--ssl-keyfile {}: expected the certificate's PEM key: {}",
           quote(key_path_, 200), ec.message());
    context_ = std::move(context);
  }

 private:
  asio::io_context& io_;
  std::string cert_path_, key_path_;
  std::shared_ptr<ssl::context> context_;
};

}  // namespace

std::unique_ptr<TlsTerminator> TlsTerminator::create(asio::io_context& io, const std::string& cert_path,
                                                     const std::string& key_path) {
  return std::make_unique<OpenSslTerminator>(io, cert_path, key_path);
}

}  // namespace turgo
