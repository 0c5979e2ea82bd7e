// turgo.v1.Engine over one pipeline. Answers are gRPC's callback calls (generate_call.h), so that a thousand
// streams need no thousand threads; everything else blocks a thread of gRPC's pool, which is bounded. Nothing
// that a call carries ends the process.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include <turgo/v1/engine.grpc.pb.h>
#include "pipeline/pipeline.h"
#include "serve/embeddings/pooling.h"
#include "serve/grammar/token_grammar.h"
#include "serve/keys.h"
#include "serve/worker_threads.h"

namespace turgo {

namespace pb = ::turgo::v1;

using GeneratingByCallback = pb::Engine::WithCallbackMethod_Generate<
    pb::Engine::WithCallbackMethod_GenerateStream<pb::Engine::Service>>;

class EngineService : public GeneratingByCallback {
 public:
  using GeneratingByCallback::Generate,
      GeneratingByCallback::GenerateStream;  // their other forms, never called
  EngineService(Pipeline& pipeline, std::string model_name, std::shared_ptr<KeyRing> keys);
  ~EngineService() override;

  grpc::ServerUnaryReactor* Generate(grpc::CallbackServerContext* context, const pb::GenerateRequest* request,
                                     pb::GenerateResponse* response) override;
  grpc::ServerWriteReactor<pb::GenerateEvent>* GenerateStream(grpc::CallbackServerContext* context,
                                                              const pb::GenerateRequest* request) override;

  using Context = grpc::ServerContext;
  grpc::Status Embed(Context* context, const pb::EmbedRequest* request, pb::EmbedResponse* response) override;
  grpc::Status Tokenize(Context* context, const pb::TokenizeRequest* request,
                        pb::TokenizeResponse* response) override;
  grpc::Status Detokenize(Context* context, const pb::DetokenizeRequest* request,
                          pb::DetokenizeResponse* response) override;
  grpc::Status GetModelInfo(Context* context, const pb::GetModelInfoRequest* request,
                            pb::ModelInfo* response) override;
  grpc::Status GetModelFiles(Context* context, const pb::GetModelFilesRequest* request,
                             grpc::ServerWriter<pb::FilePiece>* writer) override;
  grpc::Status GetStats(Context* context, const pb::GetStatsRequest* request, pb::Stats* response) override;
  grpc::Status CompileGrammar(Context* context, const pb::Grammar* request,
                              pb::CompileGrammarResponse* response) override;
  grpc::Status ComputeRows(Context* context, const pb::ComputeRowsRequest* request,
                           grpc::ServerWriter<pb::Rows>* writer) override;
  grpc::Status ListSessions(Context* context, const pb::ListSessionsRequest* request,
                            pb::ListSessionsResponse* response) override;
  grpc::Status GetSession(Context* context, const pb::SessionId* request, pb::TokenIds* response) override;
  grpc::Status EndSession(Context* context, const pb::SessionId* request,
                          pb::EndSessionResponse* response) override;
  grpc::Status ForkSession(Context* context, const pb::ForkSessionRequest* request,
                           pb::ForkSessionResponse* response) override;
  grpc::Status ExportSession(Context* context, const pb::SessionId* request,
                             pb::SessionFile* response) override;
  grpc::Status ImportSession(Context* context, const pb::SessionFile* request,
                             pb::ImportSessionResponse* response) override;

  // Of the calls that generate. Throws Error as Pipeline does; ApiError of messages that are none.
  TextStream start(const pb::GenerateRequest& request, const std::string& owner, double max_seconds);
  // Whose a call is: its key and what it says. Sets `refusal` where there is no such key.
  std::string owner_of(const grpc::ServerContextBase& context, const std::string& owner,
                       grpc::Status& refusal, bool is_costly = false);

  // Jobs that may take long (templates, tokenizing, grammars), and those that write what has come.
  WorkerThreads& starters() { return starters_; }
  WorkerThreads& writers() { return writers_; }

  void refuse_new() { is_draining_ = true; }
  bool is_draining() const { return is_draining_; }
  void count_call(int change);
  bool wait_for_calls(double seconds);  // true: none is left
  void stop_workers();

 private:
  template <class Work>
  grpc::Status guarded(const grpc::ServerContextBase& context, const std::string& owner, Work work,
                       bool is_costly = false);

  Pipeline& pipeline_;
  std::string model_name_, run_id_;
  std::shared_ptr<KeyRing> keys_;
  GrammarCompiler grammars_;
  std::mutex pooling_mutex_;
  std::optional<PoolingConfig> pooling_;
  std::atomic<bool> is_draining_ = false;
  std::mutex calls_mutex_;
  std::condition_variable calls_changed_;
  int num_calls_ = 0;
  WorkerThreads starters_{4}, writers_{1};  // last: their jobs use all of the above
};

}  // namespace turgo
