/* The kernels for the processor at hand. */

#include "kernels.h"

/* Sixteen values side by side, at any address. */
enum { LANES = 16, RUN = 64 };
typedef float vector __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t bits __attribute__((vector_size(64), aligned(4), may_alias));

#define AT(pointer, offset) (*(const vector *)((pointer) + (offset)))
#define PUT(pointer, offset) (*(vector *)((pointer) + (offset)))
#define ONLY(mask, value) ((vector)((mask) & (bits)(value)))
#define PASSED(relu, value) ((bits)((value) > (vector){0}) | ((relu) - 1))
#define EACH_RUN(from, to)                                 \
  for (int64_t first = (from), last; first < (to); first = last) \
    if (last = first + RUN < (to) ? first + RUN : (to), 1)
#define WHERE(mask, a, b) \
  ((vector)(((mask) & (bits)(a)) | (~(mask) & (bits)(b))))
#define LARGER(a, b) WHERE((bits)(a == a), WHERE((bits)(a > b), a, b), a)

#define TARGET
#define NAMED(name) name##_plain
#include "loops.h"

#ifdef __x86_64__
#define TARGET __attribute__((target("avx2,fma")))
#define NAMED(name) name##_avx2
#include "loops.h"

#define TARGET __attribute__((target("avx512f,avx512dq,fma")))
#define NAMED(name) name##_avx512
#include "loops.h"
#endif

const kernels *best_kernels(void) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
    return &kernels_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return &kernels_avx2;
#endif
  return &kernels_plain;
}
