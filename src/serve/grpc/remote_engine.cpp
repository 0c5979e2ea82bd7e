#include "serve/grpc/remote_engine.h"

#include "io/atomic_file.h"
#include "io/json_file.h"
#include "serve/grpc/messages.h"
#include "serve/grpc/remote_stream.h"

namespace turgo {
namespace {

constexpr size_t kMaxSessionBytes = 64 << 20;

pb::SessionId session_id(const std::string& id, const std::string& owner) {
  pb::SessionId out;
  out.set_id(id);
  out.set_owner(owner);
  return out;
}

DecoderConfig decoder_config(const pb::ModelInfo& info) {
  DecoderConfig out;
  out.architecture = info.architecture();
  out.vocab_size = info.vocab_size();
  out.hidden_size = info.hidden_size();
  out.max_position = info.max_position();
  out.layers.resize(static_cast<size_t>(std::clamp(info.num_layers(), 0, 10'000)));
  out.eos_token_ids.assign(info.eos_token_ids().begin(), info.eos_token_ids().end());
  return out;
}

ModelInfo model_info(const pb::ModelInfo& info, const std::string& path) {
  ModelInfo out;
  out.path = path;
  out.architecture = info.architecture();
  out.precision = info.precision();
  out.kernels = info.kernels();
  out.kv_type = info.kv_type();
  out.file_bytes = info.file_bytes();
  out.weight_bytes = info.weight_bytes();
  out.decode_bytes = info.decode_bytes();
  out.layer_weights = info.layer_weights();
  out.head_weights = info.head_weights();
  out.kv_bytes_per_token = info.kv_bytes_per_token();
  return out;
}

std::unique_ptr<ModelFolder> fetch_files(EngineLink& link) {
  auto folder = std::make_unique<ModelFolder>();
  grpc::ClientContext context;
  link.prepare(context, 60);
  auto reader = link.stub().GetModelFiles(&context, {});
  pb::FilePiece piece;
  while (reader->Read(&piece)) {
    if (!piece.path().empty()) folder->begin(piece.path());
    folder->add(piece.data());
  }
  link.settle(reader->Finish());
  return folder;
}

}  // namespace

std::string remote_model_name(const RemoteConfig& config) {
  EngineLink link(config);
  pb::ModelInfo info;
  link.call(&pb::Engine::Stub::GetModelInfo, pb::GetModelInfoRequest(), info, 5);
  return info.name();
}

std::unique_ptr<Pipeline> open_remote(const RemoteConfig& remote, const PipelineConfig& config) {
  auto link = std::make_shared<EngineLink>(remote);
  pb::ModelInfo info;
  link->call(&pb::Engine::Stub::GetModelInfo, pb::GetModelInfoRequest(), info, 5);
  if (info.vocab_size() <= 0 || info.session_len() <= 0)
    fail(ErrorCode::kCorrupt, "the engine at {} says nothing of its model", link->where());
  std::unique_ptr<ModelFolder> files = fetch_files(*link);
  ModelInfo model = model_info(info, files->model_path());
  link->watch(info.model_id(), info.run_id());
  auto engine = std::make_unique<RemoteEngine>(std::move(link), info, std::move(files));
  return Pipeline::over(std::move(engine), std::move(model), config);
}

RemoteEngine::RemoteEngine(std::shared_ptr<EngineLink> link, const pb::ModelInfo& info,
                           std::unique_ptr<ModelFolder> files)
    : link_(std::move(link)), files_(std::move(files)), model_(decoder_config(info)) {
  config_.session_len = info.session_len();
  config_.max_batch_size = info.max_batch_size();
}

std::unique_ptr<Stream> RemoteEngine::submit(Request request) {
  return start_remote_stream(link_, request);
}

std::vector<SessionInfo> RemoteEngine::list_sessions(const std::string& owner) {
  pb::ListSessionsRequest request;
  request.set_owner(owner);
  pb::ListSessionsResponse answer;
  link_->call(&pb::Engine::Stub::ListSessions, request, answer);
  std::vector<SessionInfo> out;
  for (const pb::SessionInfo& one : answer.sessions()) out.push_back({one.id(), owner, one.num_tokens()});
  return out;
}

std::vector<int32_t> RemoteEngine::session_tokens(const std::string& id, const std::string& owner) {
  pb::TokenIds answer;
  link_->call(&pb::Engine::Stub::GetSession, session_id(id, owner), answer);
  return {answer.ids().begin(), answer.ids().end()};
}

void RemoteEngine::end_session(const std::string& id, const std::string& owner) {
  pb::EndSessionResponse answer;
  link_->call(&pb::Engine::Stub::EndSession, session_id(id, owner), answer);
}

void RemoteEngine::fork_session(const std::string& id, const std::string& new_id, const std::string& owner) {
  pb::ForkSessionRequest request;
  *request.mutable_session() = session_id(id, owner);
  request.set_new_id(new_id);
  pb::ForkSessionResponse answer;
  link_->call(&pb::Engine::Stub::ForkSession, request, answer);
}

void RemoteEngine::save_session(const std::string& id, const std::string& owner, const std::string& path) {
  pb::SessionFile file;
  link_->call(&pb::Engine::Stub::ExportSession, session_id(id, owner), file, 60);
  AtomicFile out(path, {}, AtomicFile::kPrivate);
  out.write(file.data());
  out.commit();
}

void RemoteEngine::load_session(const std::string& path, const std::string& id, const std::string& owner) {
  pb::SessionFile file;
  *file.mutable_session() = session_id(id, owner);
  file.set_data(read_text_file(path, kMaxSessionBytes));
  pb::ImportSessionResponse answer;
  link_->call(&pb::Engine::Stub::ImportSession, file, answer, 60);
}

void RemoteEngine::compute_rows(const std::vector<int32_t>& ids, const LogitsSink& sink, bool hidden) {
  link_->require_up();
  pb::ComputeRowsRequest request;
  request.mutable_ids()->Assign(ids.begin(), ids.end());
  request.set_hidden(hidden);
  grpc::ClientContext context;
  link_->prepare(context, 0);
  auto reader = link_->stub().ComputeRows(&context, request);
  auto width = static_cast<size_t>(hidden ? model_.hidden_size : model_.vocab_size);
  pb::Rows rows;
  try {
    while (reader->Read(&rows)) {
      link_->heard();
      std::span<const float> values(rows.values().data(), static_cast<size_t>(rows.values_size()));
      for (size_t i = 0; (i + 1) * width <= values.size(); ++i)
        sink(rows.first_index() + static_cast<int32_t>(i), values.subspan(i * width, width));
    }
  } catch (...) {
    context.TryCancel();
    reader->Finish();
    throw;
  }
  link_->settle(reader->Finish());
}

void RemoteEngine::compute_logits(const std::vector<int32_t>& ids, const LogitsSink& sink) {
  compute_rows(ids, sink, false);
}

void RemoteEngine::compute_hidden(const std::vector<int32_t>& ids, const LogitsSink& sink) {
  compute_rows(ids, sink, true);
}

EngineStats RemoteEngine::stats() {
  EngineStats away;
  away.is_up = false;
  try {
    pb::Stats answer;
    link_->call(&pb::Engine::Stub::GetStats, pb::GetStatsRequest(), answer, 1.5);
    return to_stats(answer);
  } catch (const Error&) {
    return away;
  }
}

std::shared_ptr<const TokenGrammar> RemoteEngine::compile(const GrammarSpec& spec) {
  pb::Grammar request;
  fill(request, spec);
  pb::CompileGrammarResponse answer;
  link_->call(&pb::Engine::Stub::CompileGrammar, request, answer, 60);
  return std::make_shared<NamedGrammar>(spec);
}

}  // namespace turgo
