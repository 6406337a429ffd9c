/* Batch normalisation, and ReLU after it, in two passes over memory forward
   and two backward.

   Arrays are rows of channels, `[rows, channels]`. Sums are computed by strips
   of rows in float64, whose number does not depend on the number of threads, so
   the result does not either. */

#include "bridge.h"
#include "kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STRIPS = 64, STRIP_ROWS = 256 };

/* Rows `from` to `to` of strip i. */
static void strip(const norm *n, int count, int i, int64_t *from, int64_t *to) {
  *from = n->rows * i / count;
  *to = n->rows * (i + 1) / count;
}

static int strips(int64_t rows) {
  int64_t count = (rows + STRIP_ROWS - 1) / STRIP_ROWS;
  return count < STRIPS ? (int)count : STRIPS;
}

typedef void (*summand)(const norm *, int64_t, int64_t, double *);
typedef void (*action)(const norm *, int64_t, int64_t);

/* Write the two sums of every channel, divided by the rows, to `means`. */
static void average(const norm *n, summand add, double *partial,
                    double *means) {
  const int count = strips(n->rows);
  const int64_t width = 2 * n->channels;
  memset(partial, 0, (size_t)(count * width) * sizeof *partial);
#pragma omp parallel for schedule(static)
  for (int i = 0; i < count; i++) {
    int64_t from, to;
    strip(n, count, i, &from, &to);
    add(n, from, to, partial + i * width);
  }
  memcpy(means, partial, (size_t)width * sizeof *means);
  for (int i = 1; i < count; i++)
    for (int64_t j = 0; j < width; j++) means[j] += partial[i * width + j];
  for (int64_t j = 0; j < width; j++) means[j] /= (double)n->rows;
}

static void each_strip(const norm *n, action act) {
  const int count = strips(n->rows);
#pragma omp parallel for schedule(static)
  for (int i = 0; i < count; i++) {
    int64_t from, to;
    strip(n, count, i, &from, &to);
    act(n, from, to);
  }
}

/* Memory of the worker: sums of every strip, means, and three vectors. */
static double *scratch(int64_t channels) {
  static double *memory;
  static int64_t room;
  const int64_t needed = channels * (2 * (STRIPS + 1) + 3);
  if (needed > room) {
    free(memory);
    memory = malloc((size_t)needed * sizeof *memory);
    room = memory ? needed : 0;
  }
  return memory;
}

static norm describe(const call_frame *frame) {
  const buffer *x = frame->arguments.items[0];
  norm n = {.channels = x->dims[3], .x = x->data};
  n.rows = x->dims[0] * x->dims[1] * x->dims[2];
  n.scale = argument_of(frame, 1);
  n.bias = argument_of(frame, 2);
  n.relu = *(const int64_t *)attribute_of(frame, 1) != 0;
  return n;
}

static void invert(const call_frame *frame, const float *variance, int64_t c,
                   float *inverse) {
  const float epsilon = *(const float *)attribute_of(frame, 0);
  for (int64_t j = 0; j < c; j++)
    inverse[j] = 1 / sqrtf(variance[j] + epsilon);
}

/* x, scale, bias to y, mean, variance. */
static int forward(const call_frame *frame) {
  norm n = describe(frame);
  const int64_t c = n.channels;
  double *means = scratch(c);
  if (!means) return 1;
  float *inverse = (float *)(means + 2 * c);
  float *mean = result_of(frame, 1), *variance = result_of(frame, 2);
  average(&n, best_kernels()->add_moments, means + 5 * c, means);
  for (int64_t j = 0; j < c; j++) {
    const double v = means[c + j] - means[j] * means[j];
    mean[j] = (float)means[j];
    variance[j] = v < 0 ? 0 : (float)v; /* NaN stays NaN */
  }
  invert(frame, variance, c, inverse);
  n.y = result_of(frame, 0);
  n.mean = mean;
  n.inverse = inverse;
  each_strip(&n, best_kernels()->normalize);
  return 0;
}

/* x, scale, bias, mean, variance, slope to the slopes of x, scale, bias. */
static int backward(const call_frame *frame) {
  norm n = describe(frame);
  const int64_t c = n.channels;
  double *means = scratch(c);
  if (!means) return 1;
  float *vectors = (float *)(means + 2 * c);
  float *dscale = result_of(frame, 1), *dbias = result_of(frame, 2);
  n.mean = argument_of(frame, 3);
  n.slope = argument_of(frame, 5);
  invert(frame, argument_of(frame, 4), c, vectors);
  n.inverse = vectors;
  average(&n, best_kernels()->add_slopes, means + 5 * c, means);
  for (int64_t j = 0; j < c; j++) {
    vectors[c + j] = (float)means[j];
    vectors[2 * c + j] = (float)means[c + j];
    dbias[j] = (float)(means[j] * (double)n.rows);
    dscale[j] = (float)(means[c + j] * (double)n.rows);
  }
  n.shift = vectors + c;
  n.correction = vectors + 2 * c;
  n.dx = result_of(frame, 0);
  each_strip(&n, best_kernels()->differentiate);
  return 0;
}

void *norm_forward(call_frame *frame) {
  static const operation o = {3, 3, 2, "411411", forward};
  return bridge_run(frame, &o);
}

void *norm_backward(call_frame *frame) {
  static const operation o = {6, 3, 2, "411114411", backward};
  return bridge_run(frame, &o);
}
