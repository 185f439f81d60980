// Matrix products and reductions of small matrices, every size and stride a constant of the program.
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
constexpr int BYTES = 64, BLOCK = 16;  // of a vector; results that are kept in registers at once
#elif defined(__AVX__)
constexpr int BYTES = 32, BLOCK = 8;
#else
constexpr int BYTES = 16, BLOCK = 8;
#endif

#define INLINE static inline __attribute__((always_inline))
#define BLOCKS static __attribute__((noinline))

template <class T> struct Vector { typedef T type __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias)); };
template <class T> using V = typename Vector<T>::type;
template <class T> constexpr int LANES = BYTES / sizeof(T);

template <class T> INLINE V<T> load(const T* p) { return *reinterpret_cast<const V<T>*>(p); }
template <class T> INLINE void store(T* p, V<T> v) { *reinterpret_cast<V<T>*>(p) = v; }

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

template <class T> INLINE void softmax(const T* in, T* out, int rows, int n) {
  for (int r = 0; r < rows; r++, in += n, out += n) {
    T most = in[0], sum = 0;
    for (int i = 1; i < n; i++) most = in[i] > most || in[i] != in[i] ? in[i] : most;
    for (int i = 0; i < n; i++) out[i] = exp(in[i] - most);
    for (int i = 0; i < n; i++) sum += out[i];
    for (int i = 0; i < n; i++) out[i] /= sum;
  }
}
