// Row kernels over a vector type V: RMS norm, gated activations, sums, scalings, soft cap, rope. The order of
// every sum depends on the row's length alone, and every element gets the same operations wherever it stands.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_math.h"

namespace turgo {
namespace {

template <class V>
float sum_of_squares(const float* x, int64_t n) {
  constexpr int kLanes = V::kLanes;
  typename V::F sum[4] = {V::zero(), V::zero(), V::zero(), V::zero()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) {
      const auto v = V::load(x + i + j * kLanes);
      sum[j] = V::fma(v, v, sum[j]);
    }
  }
  for (int j = 0; i < n; i += kLanes, ++j) {
    const auto v = i + kLanes <= n ? V::load(x + i) : V::load_partial(x + i, n - i);
    sum[j] = V::fma(v, v, sum[j]);
  }
  return V::reduce_add(V::add(V::add(sum[0], sum[1]), V::add(sum[2], sum[3])));
}

// Calls f(load, store, offset) shape-free: y[i] = f(i, count) for whole vectors, then for the tail.
template <class V, class Load>
void map_row(int64_t n, float* y, Load f) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) {
    V::store(y + i, f([i](const float* p) { return V::load(p + i); }));
  }
  if (i < n) {
    V::store_partial(y + i, f([i, n](const float* p) { return V::load_partial(p + i, n - i); }), n - i);
  }
}

template <class V>
void rms_norm(const float* x, const float* weight, float eps, int64_t n, float* y) {
  const float mean = sum_of_squares<V>(x, n) / static_cast<float>(n);
  const auto factor = V::set1(1.0f / __builtin_sqrtf(mean + eps));
  map_row<V>(n, y, [=](auto at) { return V::mul(V::mul(at(x), factor), at(weight)); });
}

template <class V, Activation A>
typename V::F activate(typename V::F x) {
  if constexpr (A == Activation::kSilu) {
    return V::mul(x, sigmoid<V>(x));
  } else if constexpr (A == Activation::kGeluTanh) {
    // x / 2 * (1 + tanh(u)) = x * sigmoid(2u), without the cancellation for negative x.
    const auto u = V::mul(V::fma(V::mul(V::mul(x, x), x), V::set1(0.044715f), x), V::set1(1.59576912f));
    return V::mul(x, sigmoid<V>(u));
  } else if constexpr (A == Activation::kGelu) {
    const auto tail = V::mul(V::mul(x, V::set1(0.5f)), erfc<V>(V::mul(V::abs(x), V::set1(0.707106781f))));
    return V::select(V::less(x, V::zero()), tail, V::sub(x, tail));
  } else {
    static_assert(A == Activation::kRelu);
    return V::max(V::zero(), x);
  }
}

template <class V, Activation A>
void gate_row(const float* gate, const float* up, int64_t n, float* y) {
  if (up == nullptr) {
    map_row<V>(n, y, [=](auto at) { return activate<V, A>(at(gate)); });
  } else {
    map_row<V>(n, y, [=](auto at) { return V::mul(activate<V, A>(at(gate)), at(up)); });
  }
}

// `up` may be null: the activation alone.
template <class V>
void gated_activation(Activation activation, const float* gate, const float* up, int64_t n, float* y) {
  switch (activation) {
    case Activation::kSilu:
      return gate_row<V, Activation::kSilu>(gate, up, n, y);
    case Activation::kGeluTanh:
      return gate_row<V, Activation::kGeluTanh>(gate, up, n, y);
    case Activation::kGelu:
      return gate_row<V, Activation::kGelu>(gate, up, n, y);
    case Activation::kRelu:
      return gate_row<V, Activation::kRelu>(gate, up, n, y);
  }
}

template <class V>
void add_row(const float* x, int64_t n, float* y) {
  map_row<V>(n, y, [=](auto at) { return V::add(at(y), at(x)); });
}

template <class V>
void scale_row(float factor, int64_t n, float* y) {
  map_row<V>(n, y, [=, f = V::set1(factor)](auto at) { return V::mul(at(y), f); });
}

template <class V>
typename V::F soft_cap(typename V::F x, float cap) {
  return V::mul(V::set1(cap), tanh<V>(V::div(x, V::set1(cap))));
}

template <class V>
void soft_cap_row(float cap, int64_t n, float* y) {
  map_row<V>(n, y, [=](auto at) { return soft_cap<V>(at(y), cap); });
}

// Rounds like transformers: two products, then their sum. Plain loops: the compiler vectorises both.
template <class V>
void rope(const float* cos_sin, int64_t rotary_dim, bool interleaved, float* head) {
  const int64_t half = rotary_dim / 2;
  const int64_t stride = interleaved ? 2 : 1;
  float* first = head;
  float* second = head + (interleaved ? 1 : half);
  for (int64_t i = 0; i < half; ++i) {
    const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
    const float a = first[i * stride], b = second[i * stride];
    first[i * stride] = a * c - b * s;
    second[i * stride] = b * c + a * s;
  }
}

}  // namespace
}  // namespace turgo
