// turgo_sim [number of seeds] [first seed]: runs the engine's simulation and prints the first violation.
// turgo_sim --expect-violation: for mutants; succeeds if one of the seeds 0 … 199 is caught.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/sim.h"

namespace {

int run(uint64_t first, uint64_t count) {
  turgo::SimReport sum;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    turgo::SimReport r = turgo::simulate(seed);
    if (!r.violation.empty()) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), r.violation.c_str());
      return 1;
    }
    sum.num_requests += r.num_requests;
    sum.num_steps += r.num_steps;
    sum.num_preemptions += r.num_preemptions;
    sum.num_cancelled += r.num_cancelled;
    sum.num_paced_steps += r.num_paced_steps;
    sum.num_slow_steps += r.num_slow_steps;
    sum.num_layered_steps += r.num_layered_steps;
  }
  std::printf(
      "%llu seeds: %lld requests, %lld steps, %lld preemptions, %lld cancels, "
      "%lld of %lld paced steps slow, %lld steps of layered prefill; no violation\n",
      static_cast<unsigned long long>(count), static_cast<long long>(sum.num_requests),
      static_cast<long long>(sum.num_steps), static_cast<long long>(sum.num_preemptions),
      static_cast<long long>(sum.num_cancelled), static_cast<long long>(sum.num_slow_steps),
      static_cast<long long>(sum.num_paced_steps), static_cast<long long>(sum.num_layered_steps));
  return 0;
}

// A mutant may be caught by a CHECK or a crash, so it runs in a process of its own.
int expect_violation() {
  pid_t child = fork();
  if (child == 0) {
    alarm(100);
    std::exit(run(0, 200));
  }
  int status = 0;
  waitpid(child, &status, 0);
  bool timed_out = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
  bool caught = !timed_out && !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  std::printf("%s\n", caught ? "caught" : timed_out ? "hangs: not caught" : "not caught");
  return caught ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--expect-violation") == 0) return expect_violation();
  uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200;
  return run(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0, count);
}
