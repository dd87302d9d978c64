// The two products that a small network on one state is made of, in double precision.
//
// Crocoddyl's wheels are built for the oldest x86-64, and whoever shares Eigen objects with them must be, too: an Eigen that
// is compiled for AVX aligns its memory otherwise. So wider units are asked for one function at a time: each product is
// compiled for three kinds of processor, and the one at hand is asked once.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace dvp {

constexpr std::size_t WIDTH = 16;  // columns of a Jacobian: 14 states, and two more to make whole vectors
namespace body {

// A vector of N numbers, in a register and in memory. Loops over arrays of them are written out below: left to itself, the
// compiler picks the wrong one of three loops.
template <std::size_t N>
struct Vector {
  typedef double Held __attribute__((vector_size(sizeof(double) * N)));
  typedef double Stored __attribute__((vector_size(sizeof(double) * N), aligned(sizeof(double)), may_alias));
};

// y = W x + c, `AT_ONCE` rows at a time, so that no addition waits for the one before.  W: (rows, columns) row by row.
template <std::size_t N, std::size_t AT_ONCE>
__attribute__((always_inline)) inline void affine(const double *W, const double *c, const double *x, double *y,
                                                  std::size_t rows, std::size_t columns) {
  using Stored = typename Vector<N>::Stored;
  for (; rows >= AT_ONCE; rows -= AT_ONCE, W += AT_ONCE * columns, c += AT_ONCE, y += AT_ONCE) {
    typename Vector<N>::Held sums[AT_ONCE] = {};
    std::size_t k = 0;
    for (; k + N <= columns; k += N) {
      const auto v = *reinterpret_cast<const Stored *>(x + k);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < AT_ONCE; ++i) sums[i] += *reinterpret_cast<const Stored *>(W + i * columns + k) * v;
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < AT_ONCE; ++i) {
      double sum = c[i];
      for (std::size_t n = 0; n < N; ++n) sum += sums[i][n];
      for (std::size_t j = k; j < columns; ++j) sum += W[i * columns + j] * x[j];
      y[i] = sum;
    }
  }
  if constexpr (AT_ONCE > 1) affine<N, 1>(W, c, x, y, rows, columns);
}

// C = diag(slope) W B, `AT_ONCE` rows at a time, so that C stays in the registers; slope may be null, which is 1.
// W: (rows, inner) row by row; B: (inner, WIDTH), C: (rows, WIDTH).
template <std::size_t N, std::size_t AT_ONCE>
__attribute__((always_inline)) inline void product(const double *W, const double *B, const double *slope, double *C,
                                                   std::size_t rows, std::size_t inner) {
  using Stored = typename Vector<N>::Stored;
  constexpr std::size_t M = WIDTH / N;
  for (; rows >= AT_ONCE; rows -= AT_ONCE, W += AT_ONCE * inner, C += AT_ONCE * WIDTH) {
    typename Vector<N>::Held sums[AT_ONCE][M] = {};
    for (std::size_t k = 0; k < inner; ++k) {
      const Stored *b = reinterpret_cast<const Stored *>(B + k * WIDTH);
#pragma GCC unroll 8
      for (std::size_t i = 0; i < AT_ONCE; ++i)
#pragma GCC unroll 8
        for (std::size_t n = 0; n < M; ++n) sums[i][n] += W[i * inner + k] * b[n];
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < AT_ONCE; ++i) {
      const double s = slope ? slope[i] : 1.0;
#pragma GCC unroll 8
      for (std::size_t n = 0; n < M; ++n) reinterpret_cast<Stored *>(C + i * WIDTH)[n] = s * sums[i][n];
    }
    if (slope) slope += AT_ONCE;
  }
  if constexpr (AT_ONCE > 1) product<N, 1>(W, B, slope, C, rows, inner);
}

}  // namespace body

struct Kernels {
  void (*affine)(const double *W, const double *c, const double *x, double *y, std::size_t rows, std::size_t columns);
  void (*product)(const double *W, const double *B, const double *slope, double *C, std::size_t rows, std::size_t inner);
};

#define DVP_KERNELS(name, target, N, SUMS, ROWS)                                                                \
  namespace name {                                                                                              \
  target inline void affine(const double *W, const double *c, const double *x, double *y, std::size_t rows,     \
                            std::size_t columns) {                                                              \
    body::affine<N, SUMS>(W, c, x, y, rows, columns);                                                           \
  }                                                                                                             \
  target inline void product(const double *W, const double *B, const double *slope, double *C, std::size_t rows, \
                             std::size_t inner) {                                                               \
    body::product<N, ROWS>(W, B, slope, C, rows, inner);                                                        \
  }                                                                                                             \
  constexpr Kernels KERNELS{affine, product};                                                                   \
  }

DVP_KERNELS(plain, , 2, 4, 1)
#if defined(__x86_64__)
DVP_KERNELS(avx2, __attribute__((target("avx2,fma"))), 4, 8, 3)
DVP_KERNELS(avx512, __attribute__((target("avx512f"))), 8, 8, 8)
#endif

// What this processor can run, by name.
inline const std::map<std::string, Kernels> &runnable() {
  static const std::map<std::string, Kernels> found = [] {
    std::map<std::string, Kernels> found{{"plain", plain::KERNELS}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found["avx2"] = avx2::KERNELS;
    if (__builtin_cpu_supports("avx512f")) found["avx512"] = avx512::KERNELS;
#endif
    return found;
  }();
  return found;
}

// The fastest of them.
inline const Kernels &kernels() {
  static const Kernels chosen = [] {
    for (const char *name : {"avx512", "avx2"})
      if (runnable().count(name)) return runnable().at(name);
    return plain::KERNELS;
  }();
  return chosen;
}

}  // namespace dvp
