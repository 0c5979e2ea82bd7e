// A closed loop of POSTs over kept connections, from one thread, for what a distributor adds and carries.
//   http_load HOST PORT CONNECTIONS SECONDS [REQUESTS_PER_SECOND] [MODEL]
// Prints one line of JSON: requests, seconds, rps, p50/p90/p99/max in ms, errors. With a rate the loop is
// paced: a connection that is free waits for the next request's time, and latency counts from that time.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Connection {
  int fd = -1;
  bool is_busy = false;
  double sent = 0;
  std::string in;
};

int connect_to(const char* host, int port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("http_load: connect");
    std::exit(1);
  }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

// Whether `in` holds a whole answer with Content-Length; it is taken away.
bool take_answer(std::string& in, int& status) {
  size_t head = in.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  size_t at = in.find("Content-Length: ");
  size_t length = at < head ? static_cast<size_t>(std::atol(in.c_str() + at + 16)) : 0;
  if (in.size() < head + 4 + length) return false;
  status = std::atoi(in.c_str() + 9);
  in.erase(0, head + 4 + length);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5)
    return std::fprintf(stderr, "usage: http_load HOST PORT CONNECTIONS SECONDS [RATE] [MODEL]\n"), 2;
  double seconds = std::atof(argv[4]), rate = argc > 5 ? std::atof(argv[5]) : 0;
  std::string body = std::string("{\"model\": \"") + (argc > 6 ? argv[6] : "fake") + "\", \"prompt\": \"" +
                     std::string(200, 'x') + "\", \"max_tokens\": 1}";
  std::string request =
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
      "application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  std::vector<Connection> connections(static_cast<size_t>(std::atoi(argv[3])));
  for (Connection& c : connections) c.fd = connect_to(argv[1], std::atoi(argv[2]));
  std::vector<double> latencies;
  size_t errors = 0;
  double begin = now(), next = begin;
  std::vector<pollfd> polls(connections.size());
  while (now() < begin + seconds) {
    for (Connection& c : connections) {
      if (c.is_busy || (rate > 0 && next > now())) continue;
      c.sent = rate > 0 ? next : now();
      if (rate > 0) next += 1 / rate;
      if (send(c.fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
        ++errors;
      c.is_busy = true;
    }
    for (size_t i = 0; i < polls.size(); ++i) polls[i] = {connections[i].fd, POLLIN, 0};
    double wait = rate > 0 ? std::clamp(next - now(), 0.0, 0.1) : 0.1;
    timespec patience{0, static_cast<long>(wait * 1e9)};
    if (ppoll(polls.data(), polls.size(), &patience, nullptr) <= 0) continue;
    for (size_t i = 0; i < polls.size(); ++i) {
      if (!polls[i].revents) continue;
      Connection& c = connections[i];
      char bytes[65536];
      ssize_t n = recv(c.fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (n <= 0) {
        ++errors;
        close(c.fd);
        c = {connect_to(argv[1], std::atoi(argv[2])), false, 0, ""};
        continue;
      }
      c.in.append(bytes, static_cast<size_t>(n));
      int status = 0;
      if (!take_answer(c.in, status)) continue;
      c.is_busy = false;
      latencies.push_back(now() - c.sent);
      errors += status != 200;
    }
  }
  double took = now() - begin;
  std::sort(latencies.begin(), latencies.end());
  auto at = [&](double q) {
    return latencies.empty()
               ? 0
               : 1e3 * latencies[std::min(latencies.size() - 1,
                                          static_cast<size_t>(q * static_cast<double>(latencies.size())))];
  };
  std::printf(
      "{\"requests\": %zu, \"seconds\": %.2f, \"rps\": %.0f, \"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": "
      "%.3f, \"max_ms\": %.3f, \"errors\": %zu}\n",
      latencies.size(), took, static_cast<double>(latencies.size()) / took, at(0.5), at(0.9), at(0.99), at(1),
      errors);
  return 0;
}
