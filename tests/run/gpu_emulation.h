// A GPU whose blocks have one thread each, so that a processor can run a program that was written for it.
#pragma GCC optimize("O1")
#include <math.h>
#include <string.h>
#include <algorithm>
#include <cmath>
using namespace std;
#undef INFINITY
#undef NAN
#undef M_SQRT1_2
#undef M_2_SQRTPI
#define int64_t gpu_int64_t
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __shared__
struct Index { int x; };
static Index threadIdx{0}, blockIdx{0};
alignas(64) char memory[1 << 20];
static inline void __syncthreads() {}
static inline float __int_as_float(int bits) { float value; memcpy(&value, &bits, 4); return value; }
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int) { return value; }
extern "C" void block(int number) { blockIdx.x = number; }
