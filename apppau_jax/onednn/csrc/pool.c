/* The maximum over 2x2 windows, and its gradient, which equal maxima share. */

#include "bridge.h"
#include "kernels.h"

static pool describe(const buffer *small) {
  return (pool){.rows = small->dims[0] * small->dims[1],
                .columns = small->dims[2],
                .channels = small->dims[3]};
}

/* Image to maximum. */
static int forward(const call_frame *frame) {
  pool p = describe(frame->results.items[0]);
  p.image = argument_of(frame, 0);
  p.result = result_of(frame, 0);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < p.rows; row++) best_kernels()->pool_row(&p, row);
  return 0;
}

/* Image, maximum and slope of the maximum to the slope of the image. */
static int backward(const call_frame *frame) {
  pool p = describe(frame->arguments.items[1]);
  p.image = argument_of(frame, 0);
  p.maximum = argument_of(frame, 1);
  p.slope = argument_of(frame, 2);
  p.result = result_of(frame, 0);
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < p.rows; row++) best_kernels()->spread_row(&p, row);
  return 0;
}

void *pool_forward(call_frame *frame) {
  static const operation o = {1, 1, 0, "44", forward};
  return bridge_run(frame, &o);
}

void *pool_backward(call_frame *frame) {
  static const operation o = {3, 1, 0, "4444", backward};
  return bridge_run(frame, &o);
}
