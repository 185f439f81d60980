// Products and reductions of small matrices and of images, sizes and strides being constants of the program.
// Element (i, k) of A is A[i * SA + k * KA], and so on; `bias`, if there is one, is added to every row.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <utility>

#ifdef VECTOR_MATH  // glibc's libmvec computes these for a vector at once, to 4 units in the last place
#define VECTORISED(name) __attribute__((simd("notinbranch"))) double name(double) noexcept; \
  __attribute__((simd("notinbranch"))) float name##f(float) noexcept;
extern "C" {
VECTORISED(exp) VECTORISED(expm1) VECTORISED(log) VECTORISED(log1p) VECTORISED(tanh) VECTORISED(erf)
VECTORISED(sin) VECTORISED(cos)
}
#endif

#if defined(__AVX512F__)
constexpr int BYTES = 64, BLOCK = 16, REGISTERS = 32;  // of a vector; results that are kept in registers at once
#elif defined(__AVX__)
constexpr int BYTES = 32, BLOCK = 8, REGISTERS = 16;
#else
constexpr int BYTES = 16, BLOCK = 8, REGISTERS = 16;
#endif

#define INLINE static inline __attribute__((always_inline))
#define BLOCKS static __attribute__((noinline))

template <class T> constexpr int LANES = BYTES / sizeof(T);
template <class T, int N> struct Vector {
  typedef T type __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
};
template <class T, int N = LANES<T>> using V = typename Vector<T, N>::type;

template <class T, int N = LANES<T>> INLINE V<T, N> load(const T* p) { return *reinterpret_cast<const V<T, N>*>(p); }
template <class T, int N = LANES<T>> INLINE void store(T* p, V<T, N> v) { *reinterpret_cast<V<T, N>*>(p) = v; }

// The blocks below are functions of their own, so that a program has one of each kind, however many products it has.

// Rows of B that lie together: C[i, :] = sum_k A[i, k] B[k, :], MR rows and NV vectors of C.
template <class T, int MR, int NV>
BLOCKS void rows_block(const T* A, const T* B, T* C, const T* bias, int K, int SA, int KA, int KB, int LDC) {
  constexpr int L = LANES<T>;
  V<T> sum[MR][NV];
  for (int i = 0; i < MR; i++)
    for (int v = 0; v < NV; v++) sum[i][v] = bias ? load(bias + v * L) : V<T>{};
  for (int k = 0; k < K; k++, A += KA, B += KB) {
    V<T> b[NV];
    for (int v = 0; v < NV; v++) b[v] = load(B + v * L);
    for (int i = 0; i < MR; i++) {
      const T a = A[i * SA];
      for (int v = 0; v < NV; v++) sum[i][v] += a * b[v];
    }
  }
  for (int i = 0; i < MR; i++)
    for (int v = 0; v < NV; v++) store(C + i * LDC + v * L, sum[i][v]);
}

// The same for R columns, fewer than a vector.
template <class T, int MR, int R>
BLOCKS void rows_rest(const T* A, const T* B, T* C, const T* bias, int K, int SA, int KA, int KB, int LDC) {
  for (int i = 0; i < MR; i++) {
    T sum[R];
    for (int j = 0; j < R; j++) sum[j] = bias ? bias[j] : T(0);
    for (int k = 0; k < K; k++)
      for (int j = 0; j < R; j++) sum[j] += A[i * SA + k * KA] * B[k * KB + j];
    for (int j = 0; j < R; j++) C[i * LDC + j] = sum[j];
  }
}

template <class T, int MR, int N, int K, int SA, int KA, int KB, int LDC>
INLINE void rows_strip(const T* A, const T* B, T* C, const T* bias) {
  constexpr int L = LANES<T>, NV = BLOCK / 4, WIDE = N / (NV * L) * NV * L, VECTORS = N / L * L;
  for (int j = 0; j < WIDE; j += NV * L)
    rows_block<T, MR, NV>(A, B + j, C + j, bias ? bias + j : nullptr, K, SA, KA, KB, LDC);
  for (int j = WIDE; j < VECTORS; j += L)
    rows_block<T, MR, 1>(A, B + j, C + j, bias ? bias + j : nullptr, K, SA, KA, KB, LDC);
  if constexpr (N > VECTORS)
    rows_rest<T, MR, N - VECTORS>(A, B + VECTORS, C + VECTORS, bias ? bias + VECTORS : nullptr, K, SA, KA, KB, LDC);
}

template <class T, int M, int N, int K, int SA, int KA, int KB, int LDC>
INLINE void product_by_rows(const T* A, const T* B, T* C, const T* bias) {
  constexpr int MR = BLOCK == 16 ? 6 : 4, WHOLE = M / MR * MR;
  for (int i = 0; i < WHOLE; i += MR)
    rows_strip<T, MR, N, K, SA, KA, KB, LDC>(A + i * SA, B, C + i * LDC, bias);
  if constexpr (M > WHOLE)
    rows_strip<T, M - WHOLE, N, K, SA, KA, KB, LDC>(A + WHOLE * SA, B, C + WHOLE * LDC, bias);
}

// Rows of A and columns of B that lie together: C[i, j] = sum_k A[i, k] B[j, k].
template <class T, int H, int... I> INLINE V<T> fold(V<T> a, V<T> b, std::integer_sequence<int, I...>) {
  constexpr int L = LANES<T>;
  V<T> low = __builtin_shufflevector(a, b, (I / (2 * H) * (2 * H) + I % H + (I % (2 * H) < H ? 0 : L))...);
  V<T> high = __builtin_shufflevector(a, b, (I / (2 * H) * (2 * H) + I % H + H + (I % (2 * H) < H ? 0 : L))...);
  return low + high;
}

// The sums over the lanes of each of LANES vectors, as one vector.
template <class T, int H = LANES<T> / 2> INLINE V<T> sums(V<T>* v) {
  for (int m = 0; m < H; m++) v[m] = fold<T, H>(v[m], v[m + H], std::make_integer_sequence<int, LANES<T>>());
  if constexpr (H > 1) return sums<T, H / 2>(v);
  else return v[0];
}

template <class T, int MR, int NR>
BLOCKS void columns_block(const T* A, const T* B, T* C, const T* bias, int K, int SA, int JB, int LDC) {
  constexpr int L = LANES<T>, N = (MR * NR + L - 1) / L * L;
  const int whole = K / L * L;
  T sum[N] = {};
  if (whole > 0) {
    V<T> part[N] = {};
    for (int k = 0; k < whole; k += L) {
      V<T> a[MR], b[NR];
      for (int i = 0; i < MR; i++) a[i] = load(A + i * SA + k);
      for (int j = 0; j < NR; j++) b[j] = load(B + j * JB + k);
      for (int i = 0; i < MR; i++)
        for (int j = 0; j < NR; j++) part[i * NR + j] += a[i] * b[j];
    }
    for (int n = 0; n < N; n += L) store(sum + n, sums<T>(part + n));
  }
  for (int i = 0; i < MR; i++) {
    T rest[NR];
    for (int j = 0; j < NR; j++) rest[j] = sum[i * NR + j] + (bias ? bias[j] : T(0));
    for (int k = whole; k < K; k++)
      for (int j = 0; j < NR; j++) rest[j] += A[i * SA + k] * B[j * JB + k];
    for (int j = 0; j < NR; j++) C[i * LDC + j] = rest[j];
  }
}

template <class T, int MR, int N, int K, int SA, int JB, int LDC>
INLINE void columns_strip(const T* A, const T* B, T* C, const T* bias) {
  constexpr int NR = BLOCK / MR, WHOLE = N / NR * NR;
  for (int j = 0; j < WHOLE; j += NR)
    columns_block<T, MR, NR>(A, B + j * JB, C + j, bias ? bias + j : nullptr, K, SA, JB, LDC);
  if constexpr (N > WHOLE)
    columns_block<T, MR, N - WHOLE>(A, B + WHOLE * JB, C + WHOLE, bias ? bias + WHOLE : nullptr, K, SA, JB, LDC);
}

template <class T, int M, int N, int K, int SA, int JB, int LDC>
INLINE void product_by_columns(const T* A, const T* B, T* C, const T* bias) {
  constexpr int MR = M >= 4 ? 4 : M >= 2 ? 2 : 1, WHOLE = M / MR * MR;
  for (int i = 0; i < WHOLE; i += MR)
    columns_strip<T, MR, N, K, SA, JB, LDC>(A + i * SA, B, C + i * LDC, bias);
  for (int i = WHOLE; i < M; i++) columns_strip<T, 1, N, K, SA, JB, LDC>(A + i * SA, B, C + i * LDC, bias);
}

// Products of windows: C[p, q, :] = sum_{k, l} A[p, q, k, l] B[k, l, :], M x N rows and NV vectors of W numbers of C at a
// time; added to the bias, or with `more` to what is in C.
template <class T, int M, int N, int W, int NV, int K, int L, int AP, int AQ, int AK, int AL, int BK, int BL, int CP,
          int CQ>
INLINE void windows_block(const T* A, const T* B, T* C, const T* bias, bool more) {
  V<T, W> sum[M][N][NV];
  for (int p = 0; p < M; p++)
    for (int q = 0; q < N; q++)
      for (int v = 0; v < NV; v++)
        sum[p][q][v] = more   ? load<T, W>(C + p * CP + q * CQ + v * W)
                       : bias ? load<T, W>(bias + v * W)
                              : V<T, W>{};
  for (int k = 0; k < K; k++)
    for (int l = 0; l < L; l++) {
      V<T, W> b[NV];
      for (int v = 0; v < NV; v++) b[v] = load<T, W>(B + k * BK + l * BL + v * W);
      for (int p = 0; p < M; p++)
        for (int q = 0; q < N; q++) {
          const T a = A[p * AP + q * AQ + k * AK + l * AL];
          for (int v = 0; v < NV; v++) sum[p][q][v] += a * b[v];
        }
    }
  for (int p = 0; p < M; p++)
    for (int q = 0; q < N; q++)
      for (int v = 0; v < NV; v++) store<T, W>(C + p * CP + q * CQ + v * W, sum[p][q][v]);
}

// The same for all P x Q rows and O columns, for n images one after another, whose places are AN, BN and CN apart.
// Where CN is 0 they are added up, with `more` to what is in C.
template <class T, int P, int Q, int O, int K, int L, int AP, int AQ, int AK, int AL, int BK, int BL, int CP, int CQ,
          int W = LANES<T>>
static void __attribute__((noinline)) windows(const T* A, const T* B, T* C, const T* bias, int64_t n, int64_t AN,
                                              int64_t BN, int64_t CN, bool more) {
  if constexpr (O < W) {
    windows<T, P, Q, O, K, L, AP, AQ, AK, AL, BK, BL, CP, CQ, W / 2>(A, B, C, bias, n, AN, BN, CN, more);
  } else {
    constexpr int NV = W == LANES<T> && O >= 2 * W ? 2 : 1, WIDE = O / (NV * W) * NV * W;
    constexpr int MOST = NV == 2 ? (REGISTERS - 3) / 2 : REGISTERS / 2;  // rows in registers
    constexpr int N = (Q + (Q - 1) / MOST) / ((Q - 1) / MOST + 1), ROWS = N < Q ? 1 : MOST / Q;
    constexpr int M = (P + (P - 1) / ROWS) / ((P - 1) / ROWS + 1), MORE = P % M, LESS = Q % N;
    for (int64_t i = 0; i < n; i++, A += AN, B += BN, C += CN) {
      const bool add = more || (CN == 0 && i > 0);
      for (int o = 0; o < WIDE; o += NV * W) {
        const auto rows = [&](auto m, int p) {
          constexpr int MM = decltype(m)::value;
          for (int q = 0; q < Q - LESS; q += N)
            windows_block<T, MM, N, W, NV, K, L, AP, AQ, AK, AL, BK, BL, CP, CQ>(
                A + p * AP + q * AQ, B + o, C + p * CP + q * CQ + o, bias ? bias + o : nullptr, add);
          if constexpr (LESS > 0)
            windows_block<T, MM, LESS, W, NV, K, L, AP, AQ, AK, AL, BK, BL, CP, CQ>(
                A + p * AP + (Q - LESS) * AQ, B + o, C + p * CP + (Q - LESS) * CQ + o, bias ? bias + o : nullptr, add);
        };
        for (int p = 0; p < P - MORE; p += M) rows(std::integral_constant<int, M>(), p);
        if constexpr (MORE > 0) rows(std::integral_constant<int, MORE>(), P - MORE);
      }
    }
    if constexpr (WIDE < O)
      windows<T, P, Q, O - WIDE, K, L, AP, AQ, AK, AL, BK, BL, CP, CQ, W>(
          A - n * AN, B - n * BN + WIDE, C - n * CN + WIDE, bias ? bias + WIDE : nullptr, n, AN, BN, CN, more);
  }
}

template <class T> INLINE void softmax(const T* in, T* out, int rows, int n) {
  for (int r = 0; r < rows; r++, in += n, out += n) {
    T most = in[0], sum = 0;
    for (int i = 1; i < n; i++) most = in[i] > most || in[i] != in[i] ? in[i] : most;
    for (int i = 0; i < n; i++) out[i] = exp(in[i] - most);
    for (int i = 0; i < n; i++) sum += out[i];
    for (int i = 0; i < n; i++) out[i] /= sum;
  }
}
