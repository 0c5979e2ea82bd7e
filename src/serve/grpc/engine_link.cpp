#include "serve/grpc/engine_link.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include "core/log.h"

#include "io/json_file.h"
#include "serve/grpc/messages.h"

namespace turgo {
namespace {

constexpr std::string_view kPlain = "grpc://", kTls = "grpcs://";
constexpr std::chrono::milliseconds kCheckInterval(500);
constexpr double kCheckSeconds = 1.5;

std::string host_port(const RemoteConfig& config) {
  std::string_view rest = config.url;
  if (rest.starts_with(kPlain))
    rest.remove_prefix(kPlain.size());
  else if (rest.starts_with(kTls))
    rest.remove_prefix(kTls.size());
  else
    rest = "";
  if (rest.ends_with('/')) rest.remove_suffix(1);
  size_t colon = rest.rfind(':');
  bool is_good = colon != rest.npos && colon > 0 && colon + 1 < rest.size() &&
                 rest.find_first_not_of("0123456789", colon + 1) == rest.npos &&
                 rest.find_first_of("/?#@ ") == rest.npos;
  if (!is_good)
    fail(ErrorCode::kInvalidArgument, "--engine: expected grpc://HOST:PORT or grpcs://HOST:PORT, got {}",
         quote(config.url, 200));
  return std::string(rest);
}

std::shared_ptr<grpc::Channel> make_channel(const std::string& where, const RemoteConfig& config) {
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(64 << 20);
  // A new try within a second: an engine that is back is used at once.
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // A connection that has silently died ends its streams after ten seconds.
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 5000);
  args.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5000);
  args.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // an engine is a neighbour
  args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (config.url.starts_with(kTls)) {
    grpc::SslCredentialsOptions options;
    if (!config.ca_file.empty()) options.pem_root_certs = read_text_file(config.ca_file, 16 << 20);
    if (!config.certfile.empty()) {
      options.pem_cert_chain = read_text_file(config.certfile, 1 << 20);
      options.pem_private_key = read_text_file(config.keyfile, 1 << 20);
    }
    credentials = grpc::SslCredentials(options);
  }
  return grpc::CreateCustomChannel(where, credentials, args);
}

}  // namespace

void check_remote(const RemoteConfig& config) {
  host_port(config);
}

EngineLink::EngineLink(const RemoteConfig& config)
    : where_(host_port(config)),
      key_(config.key),
      channel_(make_channel(where_, config)),
      stub_(pb::Engine::NewStub(channel_)),
      health_(grpc::health::v1::Health::NewStub(channel_)) {}

EngineLink::~EngineLink() {
  {
    std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  if (watcher_.joinable()) watcher_.join();
}

void EngineLink::prepare(grpc::ClientContext& context, double seconds) const {
  if (!key_.empty()) context.AddMetadata("authorization", "Bearer " + key_);
  if (seconds > 0)
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000)));
}

void EngineLink::settle(const grpc::Status& status) {
  if (status.ok()) return heard();
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) lost(status.error_message());
  throw_status(status, where_);
}

void EngineLink::watch(std::string model_id, std::string run_id) {
  model_id_ = std::move(model_id);
  run_id_ = std::move(run_id);
  heard();
  watcher_ = std::thread([this] { loop(); });
}

std::string EngineLink::why_away() const {
  std::lock_guard lock(mutex_);
  return why_away_;
}

void EngineLink::require_up() const {
  if (std::string why = why_away(); !why.empty()) throw EngineAway(why);
}

void EngineLink::lost(const std::string& why) {
  std::lock_guard lock(mutex_);
  if (!watcher_.joinable() || !why_away_.empty()) return;  // only a watcher brings it back
  why_away_ = fmt::format("the engine at {} can not be reached: {}", where_, quote(why, 200));
  log_warning("{}", why_away_);
}

std::string EngineLink::check() {
  grpc::ClientContext context;
  prepare(context, kCheckSeconds);
  grpc::health::v1::HealthCheckResponse health;
  grpc::Status status = health_->Check(&context, {}, &health);
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    // A busy machine answers late; while tokens come, the engine is there.
    auto silence = Clock::now().time_since_epoch() - Clock::duration(last_heard_.load());
    if (silence < std::chrono::seconds(3)) return why_away();
  }
  if (!status.ok())
    return fmt::format("the engine at {} can not be reached: {}", where_, quote(status.error_message(), 200));
  heard();
  if (health.status() != grpc::health::v1::HealthCheckResponse::SERVING)
    return fmt::format("the engine at {} is shutting down", where_);
  if (why_away().empty()) return "";
  // It is back: the same model, so that tokenizer and template still hold?
  grpc::ClientContext again;
  prepare(again, kCheckSeconds);
  pb::ModelInfo info;
  status = stub_->GetModelInfo(&again, {}, &info);
  if (!status.ok())
    return fmt::format("the engine at {} can not be asked: {}", where_, quote(status.error_message(), 200));
  if (info.model_id() != model_id_)
    return fmt::format("the engine at {} serves another model now, {}; restart this server", where_,
                       quote(info.name()));
  if (info.run_id() != run_id_) log_warning("the engine at {} was restarted: its sessions are gone", where_);
  run_id_ = info.run_id();
  return "";
}

void EngineLink::loop() {
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kCheckInterval, [this] { return stops_; })) {
    lock.unlock();
    std::string why = check();
    lock.lock();
    if (why.empty() != why_away_.empty())
      log_warning("{}", why.empty() ? fmt::format("the engine at {} is there", where_) : why);
    why_away_ = std::move(why);
  }
}

}  // namespace turgo
