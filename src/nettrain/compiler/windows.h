// Products of windows of images with kernels, every size and stride a constant of the program but the number of images.
#if defined(__AVX512F__)
constexpr int REGISTERS = 32;
#else
constexpr int REGISTERS = 16;
#endif

template <class T, int N> struct Numbers {
  typedef T type __attribute__((vector_size(N * sizeof(T)), aligned(sizeof(T)), may_alias));
};
template <class T, int N> using Some = typename Numbers<T, N>::type;  // a vector, or what is left of one

template <class T, int N> INLINE Some<T, N> load_some(const T* p) { return *reinterpret_cast<const Some<T, N>*>(p); }
template <class T, int N> INLINE void store_some(T* p, Some<T, N> v) { *reinterpret_cast<Some<T, N>*>(p) = v; }

// C[p, q, :] = sum_{k, l} A[p, q, k, l] B[k, l, :], M x N rows and NV vectors of W numbers of C at a
// time; added to the bias, or with `more` to what is in C.
template <class T, int M, int N, int W, int NV, int K, int L, int AP, int AQ, int AK, int AL, int BK, int BL, int CP,
          int CQ>
INLINE void windows_block(const T* A, const T* B, T* C, const T* bias, bool more) {
  Some<T, W> sum[M][N][NV];
  for (int p = 0; p < M; p++)
    for (int q = 0; q < N; q++)
      for (int v = 0; v < NV; v++)
        sum[p][q][v] = more   ? load_some<T, W>(C + p * CP + q * CQ + v * W)
                       : bias ? load_some<T, W>(bias + v * W)
                              : Some<T, W>{};
  for (int k = 0; k < K; k++)
    for (int l = 0; l < L; l++) {
      Some<T, W> b[NV];
      for (int v = 0; v < NV; v++) b[v] = load_some<T, W>(B + k * BK + l * BL + v * W);
      for (int p = 0; p < M; p++)
        for (int q = 0; q < N; q++) {
          const T a = A[p * AP + q * AQ + k * AK + l * AL];
          for (int v = 0; v < NV; v++) sum[p][q][v] += a * b[v];
        }
    }
  for (int p = 0; p < M; p++)
    for (int q = 0; q < N; q++)
      for (int v = 0; v < NV; v++) store_some<T, W>(C + p * CP + q * CQ + v * W, sum[p][q][v]);
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
