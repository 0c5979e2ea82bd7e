#include "apps/command.h"

namespace turgo {

Command chat_command();
Command generate_command();
Command tokenize_command();
Command eval_ppl_command();
Command eval_kl_command();
Command eval_logits_command();
Command eval_tasks_command();
Command bench_command();
Command bench_sim_command();
Command bench_serve_command();
Command bench_throughput_command();
Command serve_api_server_command();
Command serve_api_client_command();
Command serve_gradio_command();
Command serve_proxy_command();
Command serve_engine_command();
Command run_batch_command();
Command lite_rtn_command();
Command lite_auto_awq_command();
Command lite_auto_gptq_command();
Command lite_smooth_quant_command();
Command lite_fp8_command();
Command lite_prune_command();
Command lite_calibrate_command();
Command lite_kv_qparams_command();
Command list_command();
Command check_env_command();

std::vector<Command> all_commands() {
  std::vector<Command> commands;
  for (Command (*make)() : {chat_command,
                            generate_command,
                            tokenize_command,
                            eval_ppl_command,
                            eval_kl_command,
                            eval_logits_command,
                            eval_tasks_command,
                            bench_sim_command,
                            bench_serve_command,
                            bench_throughput_command,
                            bench_command,
                            serve_api_server_command,
                            serve_api_client_command,
                            serve_gradio_command,
                            serve_proxy_command,
                            serve_engine_command,
                            run_batch_command,
                            lite_rtn_command,
                            lite_auto_awq_command,
                            lite_auto_gptq_command,
                            lite_smooth_quant_command,
                            lite_fp8_command,
                            lite_prune_command,
                            lite_calibrate_command,
                            lite_kv_qparams_command,
                            list_command,
                            check_env_command})
    commands.push_back(make());
  return commands;
}

}  // namespace turgo
