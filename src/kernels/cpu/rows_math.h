// exp, sigmoid, tanh and erfc over a vector type V (simd_scalar.h). Polynomials are our own weighted minimax
// fits; relative errors, measured over the whole range by rows_test.cpp: exp 2e-7, tanh 4e-7, erfc 2e-6.
// The same operations in every lane: a value does not depend on its neighbours or on its place in a row.
#pragma once

namespace turgo {
namespace {

// e^x; exactly 0 below -87.33 (the smallest normal number), clamped to e^88.37 above. NaN stays NaN.
template <class V>
typename V::F exp(typename V::F x) {
  using F = typename V::F;
  const F low = V::set1(-87.33f);
  const F clamped = V::max(low, V::min(V::set1(88.37f), x));
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits: no conversion needed.
  const F magic = V::set1(12582912.f);
  const F shifted = V::fma(clamped, V::set1(1.44269504f), magic);
  const F n = V::sub(shifted, magic);
  F r = V::fma(n, V::set1(-0.693359375f), clamped);
  r = V::fma(n, V::set1(2.12194440e-4f), r);
  F p = V::set1(1.3950602e-3f);
  p = V::fma(p, r, V::set1(8.3689531e-3f));
  p = V::fma(p, r, V::set1(4.1666206e-2f));
  p = V::fma(p, r, V::set1(1.6666518e-1f));
  p = V::fma(p, r, V::set1(0.5f));
  p = V::fma(V::mul(r, r), p, r);
  p = V::add(p, V::set1(1));
  const F power =
      V::cast_f(V::add_int(V::template shift_left<23>(V::cast_i(shifted)), V::set1_int(127 << 23)));
  return V::select(V::less(x, low), V::zero(), V::mul(p, power));
}

// 2^x for x <= 1, relative error 2e-7; exactly 1 at 0 and exactly 0 below -126. Attention's exponential: its
// argument is a score minus the row's maximum, in units of log 2.
template <class V>
typename V::F exp2_low(typename V::F x) {
  const auto low = V::set1(-126);
  const auto clamped = V::max(low, x);
  const auto magic = V::set1(12582912.f);
  const auto shifted = V::add(clamped, magic);
  const auto r = V::sub(clamped, V::sub(shifted, magic));
  auto p = V::set1(1.3264591e-3f);
  p = V::fma(p, r, V::set1(9.6716192e-3f));
  p = V::fma(p, r, V::set1(5.5507351e-2f));
  p = V::fma(p, r, V::set1(2.4022241e-1f));
  p = V::fma(p, r, V::set1(6.9314700e-1f));
  p = V::fma(p, r, V::set1(1));
  const auto power =
      V::cast_f(V::add_int(V::template shift_left<23>(V::cast_i(shifted)), V::set1_int(127 << 23)));
  return V::select(V::less(x, low), V::zero(), V::mul(p, power));
}

template <class V>
typename V::F sigmoid(typename V::F x) {
  return V::div(V::set1(1), V::add(V::set1(1), exp<V>(V::sub(V::zero(), x))));
}

template <class V>
typename V::F tanh(typename V::F x) {
  using F = typename V::F;
  const F z = V::mul(x, x);
  F p = V::set1(-5.7170447e-3f);
  p = V::fma(p, z, V::set1(2.0650586e-2f));
  p = V::fma(p, z, V::set1(-5.3743497e-2f));
  p = V::fma(p, z, V::set1(1.3331491e-1f));
  p = V::fma(p, z, V::set1(-3.3333284e-1f));
  const F small = V::fma(V::mul(p, z), x, x);
  const F a = V::abs(x);
  const F e = exp<V>(V::add(a, a));
  const F large = V::sub(V::set1(1), V::div(V::set1(2), V::add(e, V::set1(1))));
  return V::select(V::less(a, V::set1(0.625f)), small, V::copy_sign(large, x));
}

// 1 - erf(x) for x >= 0, as t * exp(-x^2) * poly(t) with t = 1 / (1 + x / 2).
template <class V>
typename V::F erfc(typename V::F x) {
  using F = typename V::F;
  const F t = V::div(V::set1(1), V::fma(x, V::set1(0.5f), V::set1(1)));
  F p = V::set1(-5.9068963e-2f);
  p = V::fma(p, t, V::set1(2.8457496e-1f));
  p = V::fma(p, t, V::set1(-4.8719990e-1f));
  p = V::fma(p, t, V::set1(2.7806717e-1f));
  p = V::fma(p, t, V::set1(-2.6625665e-2f));
  p = V::fma(p, t, V::set1(2.0268688e-1f));
  p = V::fma(p, t, V::set1(2.4310376e-1f));
  p = V::fma(p, t, V::set1(2.8237531e-1f));
  p = V::fma(p, t, V::set1(2.8208643e-1f));
  return V::mul(V::mul(t, p), exp<V>(V::sub(V::zero(), V::mul(x, x))));
}

}  // namespace
}  // namespace turgo
