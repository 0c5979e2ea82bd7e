// Dense f32 arithmetic for compression on the thread team: products through the CPU kernel table (so that
// they run at the speed of the forward pass), triangular factors in f64. Every result is the same bits for
// any number of threads: an output element is summed by one thread in a fixed order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/thread_team.h"
#include "kernels/cpu/kernel_table.h"

namespace turgo {

// A row-major f32 matrix [n][k] in the kernels' packed form, to be multiplied with many others.
class PackedMatrix {
 public:
  PackedMatrix(const float* rows, int64_t n, int64_t k, ThreadTeam& team)
      : PackedMatrix(rows, n, k, k, team) {}
  // Rows that lie `stride` numbers apart.
  PackedMatrix(const float* rows, int64_t n, int64_t k, int64_t stride, ThreadTeam& team);
  const PackedWeight& weight() const { return weight_; }

 private:
  std::shared_ptr<std::byte> data_;
  PackedWeight weight_;
};

// The sum of x_i y_i, in double.
double dot(const float* x, const float* y, int64_t n);

class TeamMath {
 public:
  TeamMath(std::shared_ptr<ThreadTeam> team, const KernelTable& kernels)
      : team_(std::move(team)), kernels_(&kernels) {}

  ThreadTeam& team() const { return *team_; }
  const std::shared_ptr<ThreadTeam>& shared_team() const { return team_; }
  const KernelTable& kernels() const { return *kernels_; }

  // f(i) for i in [0, n), each by one thread; f must not throw.
  void for_each(int64_t n, const std::function<void(int64_t)>& f) const;

  // y[m][n] = x[m][k] b[n][k]^T; rows of x lie `x_stride` numbers apart.
  void multiply(const float* x, int64_t x_stride, int64_t m, const PackedMatrix& b, float* y) const;
  void multiply(const float* x, int64_t m, const PackedMatrix& b, float* y) const {
    multiply(x, b.weight().k, m, b, y);
  }

  // The same by the calling thread alone, for use inside for_each().
  void multiply_alone(const float* x, int64_t m, const PackedMatrix& b, float* y) const;

  // gram[k][k] += x^T x for x [rows][k]. Only blocks on and above the diagonal are written; finish with
  // mirror(). `diagonal_only`: nothing but the blocks of 512 columns on the diagonal.
  void add_gram(const float* x, int64_t rows, int64_t k, float* gram, bool diagonal_only = false) const;
  void mirror(float* gram, int64_t k) const;  // copies the upper triangle to the lower

  // The upper triangular U with a^-1 = U^T U of a symmetric positive definite a[k][k] (f64, destroyed).
  // False if a is not positive definite. Found as the inverse of R in a = R R^T, R upper triangular: half the
  // work of inverting a first, and no inverse of an ill-conditioned matrix is ever formed.
  bool inverse_factor(std::vector<double>& a, int64_t k, std::vector<float>& u) const;

 private:
  std::shared_ptr<ThreadTeam> team_;
  const KernelTable* kernels_;
};

}  // namespace turgo
