#include "serve/proxy/upstream.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <chrono>
#include <map>
#include <optional>

#include "core/error.h"

namespace turgo {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Parser = http::response_parser<http::buffer_body>;

constexpr double kAddressSeconds = 10;  // that a resolved name is believed
constexpr double kDownSeconds = 1;      // a stream that was silent so long goes down with its node

auto with(error_code& ec) {
  return asio::redirect_error(asio::use_awaitable, ec);
}

// A peer that vanished without a word is noticed within 25 s.
void set_options(tcp::socket& socket) {
  auto set = [&](int level, int name, int value) {
    ::setsockopt(socket.native_handle(), level, name, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 25'000);
}

// Nothing to read and not closed: what an idle connection has to look like.
bool is_quiet(tcp::socket& socket) {
  char byte;
  ssize_t n = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

struct UpstreamPool::Impl {
  struct Idle {
    tcp::socket socket;
    double since;
  };
  struct Target {
    std::vector<Idle> idle;  // the youngest last
    std::vector<tcp::endpoint> endpoints;
    double resolved_at = -1e18;
  };

  explicit Impl(std::shared_ptr<asio::io_context> context) : io(std::move(context)), timer(*io) {}

  std::shared_ptr<asio::io_context> io;
  asio::steady_timer timer;
  std::map<NodeId, Target> targets;
  std::function<void()> work;
};

// The part of a call that lives as long as its coroutine.
struct UpstreamCall::Wire {
  Wire(UpstreamCall& owner, asio::io_context& context)
      : call(&owner), pool(owner.pool_), node(owner.node_), io(context), socket(context), room(context) {}

  asio::awaitable<void> run(std::shared_ptr<Wire> keeps_this);
  asio::awaitable<bool> connect();
  asio::awaitable<bool> exchange();
  bool take_idle();
  void keep();
  bool parse(size_t num_bytes);
  void note_head();
  bool gone() const { return call == nullptr; }

  UpstreamCall* call;  // null: abandoned
  UpstreamPool& pool;
  std::shared_ptr<Node> node;
  asio::io_context& io;
  tcp::socket socket;
  asio::steady_timer room;  // cancelled when the body was taken
  std::optional<Parser> parser;
  std::string head, raw;
  std::array<char, 16384> bytes, piece;
  bool is_reused = false, got_bytes = false, head_told = false;
};

asio::awaitable<void> UpstreamCall::Wire::run([[maybe_unused]] std::shared_ptr<Wire> keeps_this) {
  while (!gone()) {
    is_reused = !call->request_.is_probe && take_idle();
    if (!is_reused) {
      bool connected = co_await connect();
      if (!connected) co_return;
    }
    call->is_connecting_ = false;
    call->last_activity_ = UpstreamPool::now();
    got_bytes = false;
    bool is_over = co_await exchange();
    if (is_over || gone()) co_return;
    // A kept connection that the node had closed already: nothing was answered, a new one tells more.
    error_code ignored;
    socket.close(ignored);
    call->is_connecting_ = true;
  }
}

bool UpstreamCall::Wire::take_idle() {
  std::vector<UpstreamPool::Impl::Idle>& idle = pool.impl_->targets[node->id].idle;
  while (!idle.empty()) {
    tcp::socket one = std::move(idle.back().socket);
    idle.pop_back();
    if (!is_quiet(one)) continue;
    socket = std::move(one);
    return true;
  }
  return false;
}

void UpstreamCall::Wire::keep() {
  if (!parser->keep_alive() || !raw.empty() || node->is_removed) return;
  std::vector<UpstreamPool::Impl::Idle>& idle = pool.impl_->targets[node->id].idle;
  if (idle.size() < pool.config_.max_idle) idle.push_back({std::move(socket), UpstreamPool::now()});
}

// False: the call has ended.
asio::awaitable<bool> UpstreamCall::Wire::connect() {
  error_code ec;
  UpstreamPool::Impl::Target& known = pool.impl_->targets[node->id];
  std::vector<tcp::endpoint> endpoints = known.endpoints;
  auto port = static_cast<uint16_t>(node->address.port);
  if (UpstreamPool::now() - known.resolved_at > kAddressSeconds) {
    asio::ip::address address = asio::ip::make_address(node->address.host, ec);
    if (!ec) {
      endpoints = {{address, port}};
    } else {
      ec = {};
      tcp::resolver resolver(io);
      auto found = co_await resolver.async_resolve(node->address.host, std::to_string(port), with(ec));
      if (gone()) co_return false;
      endpoints.assign(found.begin(), found.end());
    }
    UpstreamPool::Impl::Target& target = pool.impl_->targets[node->id];  // the map may have changed
    target.endpoints = endpoints;
    target.resolved_at = ec ? -1e18 : UpstreamPool::now();
  }
  if (!ec && endpoints.empty()) ec = asio::error::host_not_found;
  if (!ec) {
    socket = tcp::socket(io);
    co_await asio::async_connect(socket, endpoints, with(ec));
    if (gone()) co_return false;
  }
  if (ec) {
    pool.impl_->targets[node->id].resolved_at = -1e18;
    bool is_ours = ec == asio::error::no_descriptors;
    call->end(is_ours ? UpstreamFailure::kOurs : UpstreamFailure::kRefused, ec.message());
    co_return false;
  }
  set_options(socket);
  co_return true;
}

// False: a connection that was kept too long; nothing came over it.
asio::awaitable<bool> UpstreamCall::Wire::exchange() {
  const Request& request = call->request_;
  bool is_ipv6 = node->address.host.find(':') != std::string::npos;
  head =
      fmt::format("{} {}{} HTTP/1.1\r\nHost: {}:{}\r\n", request.method, node->address.prefix, request.target,
                  is_ipv6 ? "[" + node->address.host + "]" : node->address.host, node->address.port);
  for (const auto& [name, value] : request.fields) head += fmt::format("{}: {}\r\n", name, value);
  if (request.body) head += fmt::format("Content-Length: {}\r\n", request.body->size());
  head += "\r\n";
  std::shared_ptr<const std::string> body = request.body;
  std::array<asio::const_buffer, 2> out{asio::buffer(head),
                                        body ? asio::buffer(*body) : asio::const_buffer()};
  error_code ec;
  co_await asio::async_write(socket, out, with(ec));
  // A node that refuses a body answers before it has read it: an error here is one of reading, later.
  if (gone()) co_return true;
  call->last_activity_ = UpstreamPool::now();
  raw.clear();
  parser.emplace();
  parser->header_limit(32 << 10);
  parser->body_limit(boost::none);
  parser->eager(true);
  for (;;) {
    while (call->body_.size() >= kMaxAhead) {
      call->is_paused_ = true;
      room.expires_at(asio::steady_timer::time_point::max());
      co_await room.async_wait(with(ec));
      if (gone()) co_return true;
      call->last_activity_ = UpstreamPool::now();
    }
    call->is_paused_ = false;
    ec = {};
    size_t n = co_await socket.async_read_some(asio::buffer(bytes), with(ec));
    if (gone()) co_return true;
    call->last_activity_ = UpstreamPool::now();
    if (ec) {
      if (is_reused && !got_bytes) co_return false;
      error_code wrong;
      if (ec == asio::error::eof && got_bytes) parser->put_eof(wrong);
      bool is_whole = ec == asio::error::eof && got_bytes && !wrong && parser->is_done();
      if (!is_whole) {
        call->end(UpstreamFailure::kBroken,
                  ec == asio::error::eof ? "it closed the connection" : ec.message());
        co_return true;
      }
    } else {
      got_bytes = true;
      node->last_byte = call->last_activity_;
      if (!parse(n)) co_return true;
    }
    if (parser->is_done()) {
      if (!ec) keep();
      call->is_done_ = true;
      call->event();
      co_return true;
    }
    if (call->has_head()) call->event();
    if (gone()) co_return true;
  }
}

// False: it is no HTTP, and the call has ended.
bool UpstreamCall::Wire::parse(size_t num_bytes) {
  raw.append(bytes.data(), num_bytes);
  while (!raw.empty() && !parser->is_done()) {
    auto& buffer = parser->get().body();
    buffer.data = piece.data();
    buffer.size = piece.size();
    buffer.more = true;
    error_code wrong;
    size_t used = parser->put(asio::buffer(raw), wrong);
    if (parser->is_header_done()) {
      if (parser->get().result_int() / 100 == 1) {  // 100 Continue and 103 Early Hints: the answer follows
        raw.erase(0, used);
        parser.emplace();
        parser->header_limit(32 << 10);
        parser->body_limit(boost::none);
        parser->eager(true);
        continue;
      }
      if (!call->has_head()) note_head();
      call->body_.append(piece.data(), piece.size() - parser->get().body().size);
    }
    raw.erase(0, used);
    if (wrong == http::error::need_buffer) wrong = {};
    if (wrong == http::error::need_more) return true;
    if (wrong) {
      call->end(UpstreamFailure::kMalformed, wrong.message());
      return false;
    }
    if (used == 0 && !parser->is_done()) return true;
  }
  return true;
}

void UpstreamCall::Wire::note_head() {
  for (const auto& field : parser->get()) {
    std::string name(field.name_string());
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
    call->fields_.emplace_back(std::move(name), std::string(field.value()));
  }
  call->status_ = static_cast<int>(parser->get().result_int());
}

UpstreamCall::UpstreamCall(UpstreamPool& pool, std::shared_ptr<Node> node, Request request,
                           std::function<void()> on_event)
    : pool_(pool),
      node_(std::move(node)),
      request_(std::move(request)),
      on_event_(std::move(on_event)),
      last_activity_(UpstreamPool::now()) {
  place_ = pool_.calls_.insert(pool_.calls_.begin(), this);
}

UpstreamCall::~UpstreamCall() {
  abandon();
}

void UpstreamCall::abandon() {
  on_event_ = nullptr;
  leave_list();
  if (!wire_) return;
  wire_->call = nullptr;
  error_code ignored;
  wire_->socket.close(ignored);
  wire_->room.cancel();
  wire_ = nullptr;
}

void UpstreamCall::leave_list() {
  if (is_over_) return;
  is_over_ = true;
  pool_.calls_.erase(place_);
}

void UpstreamCall::end(UpstreamFailure failure, std::string why) {
  failure_ = failure;
  why_ = std::move(why);
  std::function<void()> tell = on_event_;
  abandon();
  if (tell) tell();
}

void UpstreamCall::event() {
  if (is_done_) leave_list();
  if (on_event_) on_event_();
}

std::string_view UpstreamCall::field(std::string_view name) const {
  for (const auto& [key, value] : fields_)
    if (key == name) return value;
  return "";
}

std::string UpstreamCall::take() {
  if (is_paused_ && wire_) wire_->room.cancel();
  return std::exchange(body_, {});
}

UpstreamPool::UpstreamPool(std::shared_ptr<asio::io_context> io, UpstreamConfig config)
    : config_(config), impl_(std::make_unique<Impl>(std::move(io))) {}

UpstreamPool::~UpstreamPool() {
  for (UpstreamCall* call : std::list<UpstreamCall*>(calls_)) call->abandon();
}

double UpstreamPool::now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::shared_ptr<UpstreamCall> UpstreamPool::call(std::shared_ptr<Node> node, UpstreamCall::Request request,
                                                 std::function<void()> on_event) {
  auto call = std::make_shared<UpstreamCall>(*this, std::move(node), std::move(request), std::move(on_event));
  call->wire_ = std::make_shared<UpstreamCall::Wire>(*call, *impl_->io);
  auto wire = call->wire_;
  asio::co_spawn(*impl_->io, [wire] { return wire->run(wire); }, asio::detached);
  return call;
}

void UpstreamPool::forget(NodeId node) {
  impl_->targets.erase(node);
}

void UpstreamPool::start_ticking(std::function<void()> work) {
  impl_->work = std::move(work);
  tick();
}

void UpstreamPool::post(std::function<void()> work) {
  asio::post(*impl_->io, std::move(work));
}

void UpstreamPool::tick() {
  double time = now();
  std::vector<std::shared_ptr<UpstreamCall>> calls;
  calls.reserve(calls_.size());
  for (UpstreamCall* call : calls_) calls.push_back(call->shared_from_this());
  for (const auto& call : calls) {
    if (call->is_over_) continue;
    double silent = time - call->last_activity_;
    double given = call->request_.silence_seconds;
    double patience = given > 0 ? given : config_.silence_seconds;
    bool is_down = call->node_->state == NodeState::kDown && !call->request_.is_probe;
    if (call->is_connecting_ && silent > std::max(given, config_.connect_seconds))
      call->end(UpstreamFailure::kRefused, "it took no connection in time");
    else if (!call->is_paused_ && silent > patience)
      call->end(UpstreamFailure::kSilent, fmt::format("no byte came in {} s", patience));
    else if (is_down && !call->is_paused_ && silent > kDownSeconds)
      call->end(UpstreamFailure::kNodeDown, "it answers no health check");
  }
  for (auto& [id, target] : impl_->targets)
    std::erase_if(target.idle, [&](Impl::Idle& idle) {
      return time - idle.since > config_.idle_seconds || !is_quiet(idle.socket);
    });
  if (impl_->work) impl_->work();
  impl_->timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(kTickSeconds)));
  impl_->timer.async_wait([this](error_code ec) {
    if (!ec) tick();
  });
}

}  // namespace turgo
