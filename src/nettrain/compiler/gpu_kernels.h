// What the threads of a block compute together, every size and stride a constant of the program. THREADS is the number
// of threads; sums are made in the same order every time.
typedef long long int64_t;
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#define M_SQRT1_2 0.70710678118654752440
#define M_2_SQRTPI 1.12837916709551257390
#define EVERY __device__ __forceinline__
#define THREAD ((int)threadIdx.x)

// Between the lanes of a warp, every one of which gets the result.
template <class T> EVERY T lanes_sum(T s) {
#pragma unroll
  for (int h = LANES / 2; h; h /= 2) s += __shfl_xor_sync(0xffffffff, s, h);
  return s;
}

template <class T> EVERY T larger(T a, T b) { return b > a || b != b ? b : a; }

template <class T> EVERY T lanes_max(T s) {
#pragma unroll
  for (int h = LANES / 2; h; h /= 2) s = larger(s, __shfl_xor_sync(0xffffffff, s, h));
  return s;
}

// Of all threads: each of them gets the result.
template <class T> EVERY T block_sum(T s) {
  __shared__ T parts[(THREADS + LANES - 1) / LANES];
  s = lanes_sum(s);
  if (THREAD % LANES == 0) parts[THREAD / LANES] = s;
  __syncthreads();
  T total = 0;
  for (int i = 0; i < THREADS / LANES; i++) total += parts[i];
  __syncthreads();
  return total;
}

constexpr EVERY int parts_of(int n, int size) { return (n + size - 1) / size; }

struct alignas(16) Four { float x, y, z, w; };

template <class T> EVERY const Four& four(const T* p) { return *reinterpret_cast<const Four*>(p); }

// C[i, j] = bias[j] + sum_k A[i, k] B[k, j], where A[i, k] is A[i * SA + k * KA], and so on. A thread computes a tile of
// TM rows, which lie together, and TN columns, between which lie those of its neighbours.
template <class T, int M, int N, int K, int SA, int KA, int KB, int JB, int LDC, int JC>
EVERY void product(const T* A, const T* B, T* C, const T* bias) {
  constexpr int EACH = parts_of(M * N, THREADS), TN = EACH >= 32 ? 4 : EACH >= 8 ? 2 : 1;
  constexpr int WISHED = parts_of(EACH, TN), TM = WISHED > 8 ? 8 : WISHED > M ? M : WISHED;
  constexpr int ROWS = parts_of(M, TM), COLUMNS = parts_of(N, TN);
  // Neighbours that read columns of B with an even stride would meet in the same bank: each begins at another k.
  constexpr bool TURNED = KB == 1 && JB % 2 == 0 && K >= 32, BY_FOUR_TURNED = JB / 4 % 2 == 0;
  constexpr bool BY_FOUR = sizeof(T) == 4 && KA == 1 && KB == 1 && SA % 4 == 0 && JB % 4 == 0 && K % 4 == 0 && K >= 8;
  const bool by_four = BY_FOUR && ((size_t)A | (size_t)B) % 16 == 0;
  for (int tile = THREAD; tile < ROWS * COLUMNS; tile += THREADS) {
    const int i = tile / COLUMNS * TM, j = tile % COLUMNS;
    T sum[TM][TN];
#pragma unroll
    for (int r = 0; r < TM; r++)
#pragma unroll
      for (int c = 0; c < TN; c++) sum[r][c] = bias && j + c * COLUMNS < N ? bias[j + c * COLUMNS] : T(0);
    if (BY_FOUR && by_four) {
      int k = BY_FOUR_TURNED ? j % (K / 4) : 0;
#pragma unroll 4
      for (int n = 0; n < K / 4; n++) {
        Four a[TM], b[TN];
#pragma unroll
        for (int r = 0; r < TM; r++) a[r] = M % TM == 0 || i + r < M ? four(A + (i + r) * SA + 4 * k) : Four{};
#pragma unroll
        for (int c = 0; c < TN; c++)
          b[c] = N % TN == 0 || j + c * COLUMNS < N ? four(B + 4 * k + (j + c * COLUMNS) * JB) : Four{};
#pragma unroll
        for (int r = 0; r < TM; r++)
#pragma unroll
          for (int c = 0; c < TN; c++) {
            sum[r][c] += a[r].x * b[c].x;
            sum[r][c] += a[r].y * b[c].y;
            sum[r][c] += a[r].z * b[c].z;
            sum[r][c] += a[r].w * b[c].w;
          }
        k = BY_FOUR_TURNED && k == K / 4 - 1 ? 0 : k + 1;
      }
    }
    int k = TURNED ? j % K : 0;
#pragma unroll 8
    for (int n = 0; n < (BY_FOUR && by_four ? 0 : K); n++) {
      T a[TM], b[TN];
#pragma unroll
      for (int r = 0; r < TM; r++) a[r] = M % TM == 0 || i + r < M ? A[(i + r) * SA + k * KA] : T(0);
#pragma unroll
      for (int c = 0; c < TN; c++)
        b[c] = N % TN == 0 || j + c * COLUMNS < N ? B[k * KB + (j + c * COLUMNS) * JB] : T(0);
#pragma unroll
      for (int r = 0; r < TM; r++)
#pragma unroll
        for (int c = 0; c < TN; c++) sum[r][c] += a[r] * b[c];
      k = TURNED && k == K - 1 ? 0 : k + 1;
    }
#pragma unroll
    for (int r = 0; r < TM; r++)
#pragma unroll
      for (int c = 0; c < TN; c++)
        if ((M % TM == 0 || i + r < M) && (N % TN == 0 || j + c * COLUMNS < N))
          C[(i + r) * LDC + (j + c * COLUMNS) * JC] = sum[r][c];
  }
}

// A row for each warp.
template <class T, int ROWS, int N> EVERY void softmax(const T* in, T* out) {
  for (int r = THREAD / LANES; r < ROWS; r += THREADS / LANES) {
    T most = -INFINITY, sum = 0;
    for (int i = THREAD % LANES; i < N; i += LANES) most = larger(most, in[r * N + i]);
    most = lanes_max(most);
    for (int i = THREAD % LANES; i < N; i += LANES) sum += out[r * N + i] = exp(in[r * N + i] - most);
    sum = lanes_sum(sum);
    for (int i = THREAD % LANES; i < N; i += LANES) out[r * N + i] /= sum;
  }
}

// To shared memory, while the threads go on; `copies_are_there` waits for it.
template <class T> EVERY void copy_ahead(T* to, const T* from) {
#if __CUDA_ARCH__ >= 800
  const unsigned place = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(place), "l"(from), "n"(sizeof(T)) : "memory");
#else
  *to = *from;
#endif
}

EVERY void copies_are_there() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

template <class T, int N> EVERY void copy(T* to, const T* from) {
  for (int i = THREAD; i < N; i += THREADS) to[i] = from[i];
}
