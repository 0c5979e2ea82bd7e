#include "serve/grpc/engine_service.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "core/json.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "serve/api_error.h"
#include "serve/grammar/vocabulary.h"
#include "serve/grpc/generate_call.h"
#include "serve/grpc/messages.h"
#include "serve/grpc/model_files.h"
#include "serve/openai/chat_messages.h"
#include "serve/tools/thinking_gate.h"
#include "text/utf8.h"

namespace turgo {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr int kMaxInputs = 2048;
constexpr size_t kMaxOwnerBytes = 256;

std::string new_run_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

// What a session file is written to and read from on its way: private, and gone with this object.
class ScratchFile {
 public:
  ScratchFile() {
    std::string name = (std::filesystem::temp_directory_path() / "turgo-session-XXXXXX").string();
    if (!mkdtemp(name.data())) fail(ErrorCode::kIo, "can not make a temporary folder");
    folder_ = name;
  }
  ~ScratchFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  std::string path() const { return folder_ + "/session"; }

 private:
  std::string folder_;
};

Json to_messages(const std::string& text) {
  try {
    return read_messages(parse_json(text, "messages_json"));
  } catch (const Error& error) {  // no file is corrupt
    fail(ErrorCode::kInvalidArgument, "{}", error.what());
  }
}

std::string_view shown_key(const grpc::ServerContextBase& context) {
  auto found = context.client_metadata().find("authorization");
  if (found == context.client_metadata().end()) return "";
  std::string_view value(found->second.data(), found->second.size());
  constexpr std::string_view kBearer = "Bearer ";
  return value.starts_with(kBearer) ? value.substr(kBearer.size()) : "";
}

}  // namespace

EngineService::EngineService(Pipeline& pipeline, std::string model_name, std::shared_ptr<KeyRing> keys)
    : pipeline_(pipeline),
      model_name_(std::move(model_name)),
      run_id_(new_run_id()),
      keys_(std::move(keys)),
      grammars_([this] { return grammar_vocabulary(pipeline_); }) {}

EngineService::~EngineService() {
  stop_workers();
}

void EngineService::stop_workers() {
  starters_.stop();
  writers_.stop();
}

std::string EngineService::owner_of(const grpc::ServerContextBase& context, const std::string& owner,
                                    grpc::Status& refusal, bool is_costly) {
  if (owner.size() > kMaxOwnerBytes) {
    refusal = {grpc::StatusCode::INVALID_ARGUMENT,
               fmt::format("owner: expected at most {} bytes, got {}", kMaxOwnerBytes, owner.size())};
    return "";
  }
  if (keys_->is_open()) return owner;
  std::shared_ptr<ApiKey> key = keys_->find(shown_key(context));
  if (!key) {
    refusal = {grpc::StatusCode::UNAUTHENTICATED,
               "a valid key is missing; expected the metadata 'authorization: Bearer KEY'"};
    return "";
  }
  if (is_costly && keys_->admit(*key) > 0)
    refusal = {grpc::StatusCode::RESOURCE_EXHAUSTED, "this key's rate is used up; try again later"};
  return key->name + '\n' + owner;
}

template <class Work>
grpc::Status EngineService::guarded(const grpc::ServerContextBase& context, const std::string& owner,
                                    Work work, bool is_costly) {
  grpc::Status refusal;
  std::string full_owner = owner_of(context, owner, refusal, is_costly);
  if (!refusal.ok()) return refusal;
  if (is_costly && is_draining_)
    return {grpc::StatusCode::UNAVAILABLE, "the engine is shutting down; try another one"};
  try {
    work(full_owner);
    return {};
  } catch (const ApiError& error) {
    return {grpc::StatusCode::INVALID_ARGUMENT, error.message};
  } catch (const Error& error) {
    return to_status(Error(error.code(), without_folders(error.what())));
  } catch (const std::exception& error) {
    return {grpc::StatusCode::INTERNAL, without_folders(error.what())};
  }
}

TextStream EngineService::start(const pb::GenerateRequest& r, const std::string& owner, double max_seconds) {
  GenerationConfig config = to_config(r);
  if (max_seconds > 0 && config.max_seconds == 0) config.max_seconds = max_seconds;
  if (max_seconds > 0 && config.max_seconds > max_seconds) config.max_seconds = max_seconds;
  if (r.has_grammar() && config.ignore_eos)
    fail(ErrorCode::kInvalidArgument, "ignore_eos: does not go with a grammar, which says where answers end");
  if (r.has_grammar()) config.mask = grammars_.compile(to_spec(r.grammar()))->start();
  if (r.has_thinking())
    config.mask = std::make_shared<ThinkingGate>(
        ThinkingGate::Config{pipeline_.tokenizer(), r.thinking().budget(), r.thinking().is_thinking()},
        std::move(config.mask));
  SessionRef session{r.session_id(), owner};
  switch (r.prompt_case()) {
    case pb::GenerateRequest::kTokenIds: {
      std::vector<int32_t> ids(r.token_ids().ids().begin(), r.token_ids().ids().end());
      auto num_input = static_cast<int32_t>(ids.size());
      return pipeline_.continue_at(r.has_step() ? r.step() : -1, std::move(ids), config, session,
                                   r.at_start(), num_input);
    }
    case pb::GenerateRequest::kText:
      return pipeline_.generate({Segment::from_text(r.text())}, config, session);
    case pb::GenerateRequest::kMessagesJson: {
      return pipeline_.chat_from(pipeline_.chat_tokens(to_messages(r.messages_json()), {}), config, session);
    }
    default:
      fail(ErrorCode::kInvalidArgument, "prompt: expected token_ids, text or messages_json, got none");
  }
}

grpc::ServerUnaryReactor* EngineService::Generate(grpc::CallbackServerContext* context,
                                                  const pb::GenerateRequest* request,
                                                  pb::GenerateResponse* response) {
  return begin_generate(*this, *context, *request, *response);
}

grpc::ServerWriteReactor<pb::GenerateEvent>* EngineService::GenerateStream(
    grpc::CallbackServerContext* context, const pb::GenerateRequest* request) {
  return begin_generate_stream(*this, *context, *request);
}

grpc::Status EngineService::Embed(Context* context, const pb::EmbedRequest* request,
                                  pb::EmbedResponse* response) {
  return guarded(
      *context, "",
      [&](const std::string&) {
        if (request->inputs_size() > kMaxInputs)
          fail(ErrorCode::kInvalidArgument, "inputs: expected at most {}, got {}", kMaxInputs,
               request->inputs_size());
        int32_t hidden_size = pipeline_.engine().model_config().hidden_size;
        if (request->dimensions() < 0 || request->dimensions() > hidden_size)
          fail(ErrorCode::kInvalidArgument, "dimensions: expected 0 to {}, got {}", hidden_size,
               request->dimensions());
        PoolingConfig pooling;
        {
          std::lock_guard lock(pooling_mutex_);
          if (!pooling_) pooling_ = read_pooling(pipeline_.info().path);
          pooling = *pooling_;
        }
        int64_t num_tokens = 0;
        for (const auto& input : request->inputs()) {
          std::vector<int32_t> ids;
          if (input.has_token_ids())
            ids.assign(input.token_ids().ids().begin(), input.token_ids().ids().end());
          else
            ids = pipeline_.prompt_tokens({Segment::from_text(input.text())});
          num_tokens += static_cast<int64_t>(ids.size());
          Pool pool(pooling);
          pipeline_.engine().compute_hidden(ids, [&](int32_t, std::span<const float> row) {
            if (context->IsCancelled()) fail(ErrorCode::kCancelled, "the caller has left");
            pool.add(row);
          });
          std::vector<float> values = pool.finish(static_cast<size_t>(request->dimensions()));
          response->add_vectors()->mutable_values()->Assign(values.begin(), values.end());
        }
        response->set_num_tokens(static_cast<int32_t>(std::min<int64_t>(num_tokens, INT32_MAX)));
      },
      true);
}

grpc::Status EngineService::Tokenize(Context* context, const pb::TokenizeRequest* request,
                                     pb::TokenizeResponse* response) {
  return guarded(*context, "", [&](const std::string&) {
    const Tokenizer& tokenizer = pipeline_.tokenizer();
    std::vector<int32_t> ids = tokenizer.encode(request->text(), request->allow_special());
    if (request->add_bos() && tokenizer.add_bos() && (ids.empty() || ids.front() != tokenizer.bos_id()))
      ids.insert(ids.begin(), tokenizer.bos_id());
    response->mutable_ids()->Assign(ids.begin(), ids.end());
  });
}

grpc::Status EngineService::Detokenize(Context* context, const pb::DetokenizeRequest* request,
                                       pb::DetokenizeResponse* response) {
  return guarded(*context, "", [&](const std::string&) {
    for (int32_t id : request->ids())
      if (id < 0 || id >= pipeline_.vocab_size())
        fail(ErrorCode::kInvalidArgument, "ids: expected token ids from 0 to {}, got {}",
             pipeline_.vocab_size() - 1, id);
    std::vector<int32_t> ids(request->ids().begin(), request->ids().end());
    response->set_text(repair_utf8(pipeline_.tokenizer().decode(ids, request->skip_special_tokens())));
  });
}

grpc::Status EngineService::GetModelInfo(Context* context, const pb::GetModelInfoRequest*,
                                         pb::ModelInfo* out) {
  return guarded(*context, "", [&](const std::string&) {
    const ModelInfo& info = pipeline_.info();
    const DecoderConfig& config = pipeline_.engine().model_config();
    out->set_name(model_name_);
    out->set_architecture(info.architecture);
    out->set_version(TURGO_VERSION);
    out->set_model_id(fmt::format("{:016x}", info.fingerprint));
    out->set_run_id(run_id_);
    out->set_vocab_size(config.vocab_size);
    out->set_hidden_size(config.hidden_size);
    out->set_num_layers(config.num_layers());
    out->set_max_position(config.max_position);
    out->set_session_len(pipeline_.session_len());
    out->set_max_batch_size(pipeline_.engine().config().max_batch_size);
    out->mutable_eos_token_ids()->Assign(config.eos_token_ids.begin(), config.eos_token_ids.end());
    out->set_precision(info.precision);
    out->set_kv_type(info.kv_type);
    out->set_kernels(info.kernels);
    out->set_file_bytes(info.file_bytes);
    out->set_weight_bytes(info.weight_bytes);
    out->set_decode_bytes(info.decode_bytes);
    out->set_layer_weights(info.layer_weights);
    out->set_head_weights(info.head_weights);
    out->set_kv_bytes_per_token(info.kv_bytes_per_token);
  });
}

grpc::Status EngineService::GetModelFiles(Context* context, const pb::GetModelFilesRequest*,
                                          grpc::ServerWriter<pb::FilePiece>* writer) {
  return guarded(*context, "", [&](const std::string&) {
    each_model_file(pipeline_.info().path, [&](const std::string& path, const std::string& bytes) {
      size_t begin = 0;
      do {
        pb::FilePiece piece;
        if (begin == 0) piece.set_path(path);
        piece.set_data(bytes.substr(begin, kPieceBytes));
        if (!writer->Write(piece)) fail(ErrorCode::kCancelled, "the caller has left");
        begin += kPieceBytes;
      } while (begin < bytes.size());
    });
  });
}

grpc::Status EngineService::GetStats(Context* context, const pb::GetStatsRequest*, pb::Stats* response) {
  return guarded(*context, "", [&](const std::string&) { fill(*response, pipeline_.engine().stats()); });
}

grpc::Status EngineService::CompileGrammar(Context* context, const pb::Grammar* request,
                                           pb::CompileGrammarResponse*) {
  return guarded(*context, "", [&](const std::string&) { grammars_.compile(to_spec(*request)); }, true);
}

grpc::Status EngineService::ComputeRows(Context* context, const pb::ComputeRowsRequest* request,
                                        grpc::ServerWriter<pb::Rows>* writer) {
  return guarded(
      *context, "",
      [&](const std::string&) {
        std::vector<int32_t> ids(request->ids().begin(), request->ids().end());
        pb::Rows rows;
        auto flush = [&] {
          if (rows.values_size() > 0 && !writer->Write(rows))
            fail(ErrorCode::kCancelled, "the caller has left");
          rows.Clear();
        };
        auto sink = [&](int32_t index, std::span<const float> row) {
          if (rows.values_size() == 0) rows.set_first_index(index);
          rows.mutable_values()->Add(row.begin(), row.end());
          if (static_cast<size_t>(rows.values_size()) * sizeof(float) >= kPieceBytes) flush();
        };
        if (request->hidden())
          pipeline_.engine().compute_hidden(ids, sink);
        else
          pipeline_.engine().compute_logits(ids, sink);
        flush();
      },
      true);
}

grpc::Status EngineService::ListSessions(Context* context, const pb::ListSessionsRequest* request,
                                         pb::ListSessionsResponse* response) {
  return guarded(*context, request->owner(), [&](const std::string& owner) {
    for (const SessionInfo& one : pipeline_.engine().list_sessions(owner)) {
      pb::SessionInfo& out = *response->add_sessions();
      out.set_id(one.id);
      out.set_num_tokens(one.num_tokens);
    }
  });
}

grpc::Status EngineService::GetSession(Context* context, const pb::SessionId* request,
                                       pb::TokenIds* response) {
  return guarded(*context, request->owner(), [&](const std::string& owner) {
    std::vector<int32_t> ids = pipeline_.engine().session_tokens(request->id(), owner);
    response->mutable_ids()->Assign(ids.begin(), ids.end());
  });
}

grpc::Status EngineService::EndSession(Context* context, const pb::SessionId* request,
                                       pb::EndSessionResponse*) {
  return guarded(*context, request->owner(),
                 [&](const std::string& owner) { pipeline_.engine().end_session(request->id(), owner); });
}

grpc::Status EngineService::ForkSession(Context* context, const pb::ForkSessionRequest* request,
                                        pb::ForkSessionResponse*) {
  return guarded(*context, request->session().owner(), [&](const std::string& owner) {
    pipeline_.engine().fork_session(request->session().id(), request->new_id(), owner);
  });
}

grpc::Status EngineService::ExportSession(Context* context, const pb::SessionId* request,
                                          pb::SessionFile* response) {
  return guarded(*context, request->owner(), [&](const std::string& owner) {
    ScratchFile file;
    pipeline_.engine().save_session(request->id(), owner, file.path());
    *response->mutable_session() = *request;
    response->set_data(read_text_file(file.path(), size_t{64} << 20));
  });
}

grpc::Status EngineService::ImportSession(Context* context, const pb::SessionFile* request,
                                          pb::ImportSessionResponse*) {
  return guarded(*context, request->session().owner(), [&](const std::string& owner) {
    ScratchFile file;
    AtomicFile out(file.path(), {}, AtomicFile::kPrivate);
    out.write(request->data());
    out.commit();
    pipeline_.engine().load_session(file.path(), request->session().id(), owner);
  });
}

void EngineService::count_call(int change) {
  std::lock_guard lock(calls_mutex_);
  num_calls_ += change;
  if (num_calls_ == 0) calls_changed_.notify_all();
}

bool EngineService::wait_for_calls(double seconds) {
  std::unique_lock lock(calls_mutex_);
  return calls_changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                                 [this] { return num_calls_ == 0; });
}

}  // namespace turgo
