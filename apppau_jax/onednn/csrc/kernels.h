/* Loops over memory that are compiled for several generations of processors. */

#ifndef KERNELS_H
#define KERNELS_H

#include <stdint.h>

/* Batch normalisation of `[rows, channels]`. */
typedef struct {
  int64_t rows, channels;
  const float *x, *slope; /* slope: of the loss with respect to the result */
  float *y, *dx;
  const float *mean, *inverse, *scale, *bias; /* inverse: 1/sd */
  const float *shift;      /* backward: mean of the slopes */
  const float *correction; /* backward: mean of slope * normalised x */
  int relu;
} norm;

/* Pooling of 2x2 windows. */
typedef struct {
  int64_t rows, columns, channels; /* of the result; rows of all images */
  const float *image, *maximum, *slope;
  float *result;
} pool;

typedef struct {
  void (*add_moments)(const norm *, int64_t from, int64_t to, double *total);
  void (*normalize)(const norm *, int64_t from, int64_t to);
  void (*add_slopes)(const norm *, int64_t from, int64_t to, double *total);
  void (*differentiate)(const norm *, int64_t from, int64_t to);
  void (*pool_row)(const pool *, int64_t row);
  void (*spread_row)(const pool *, int64_t row);
} kernels;

const kernels *best_kernels(void);

#endif
