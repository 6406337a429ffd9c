/* oneDNN's convolutions. */

#include "bridge.h"
#include "dnnl.h"

#include <stdlib.h>
#include <string.h>

#define TRY(call) \
  if (call) return 1

/* A convolution y = x * k of one shape, or one of its two gradients.

   Images have XLA's layout (batch, rows, columns, channels). oneDNN chooses the
   layout of the kernel, and `reorder` converts between it and XLA's (rows,
   columns, input, output). The kernel may be a part of an array with more input
   channels. */

typedef enum { FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT } kind;
enum { X, K, Y };

typedef struct convolution {
  kind what;
  int64_t stride, dims[3][4]; /* of x, k, y in XLA's layout */
  int64_t depth;              /* input channels of the array that has k */
  int adds;                   /* to what y is, in place of overwriting it */
  handle primitive, reorder, memory[3];
  argument arguments[3], reordered[2];
  struct convolution *next;
} convolution;

static int image_layout(handle *layout, const int64_t d[4]) {
  int64_t dims[MAX_RANK] = {d[0], d[3], d[1], d[2]};
  int64_t strides[MAX_RANK] = {d[1] * d[2] * d[3], 1, d[2] * d[3], d[3]};
  return dnnl.memory_desc_create_with_strides(layout, 4, dims, FLOAT, strides);
}

static int kernel_layout(handle *layout, const int64_t d[4], int64_t depth) {
  int64_t dims[MAX_RANK] = {d[3], d[2], d[0], d[1]};
  int64_t strides[MAX_RANK] = {1, d[3], d[1] * depth * d[3], depth * d[3]};
  return dnnl.memory_desc_create_with_strides(layout, 4, dims, FLOAT, strides);
}

static int free_kernel_layout(handle *layout, const int64_t d[4]) {
  int64_t dims[MAX_RANK] = {d[3], d[2], d[0], d[1]};
  return dnnl.memory_desc_create_with_tag(layout, 4, dims, FLOAT, ANY_LAYOUT);
}

/* XLA's "SAME" padding: an odd total puts the extra pixel behind. */
static void padding(const convolution *c, int64_t *before, int64_t *behind) {
  for (int i = 0; i < 2; i++) {
    int64_t all = (c->dims[Y][i + 1] - 1) * c->stride + c->dims[K][i] -
                  c->dims[X][i + 1];
    all = all > 0 ? all : 0;
    before[i] = all / 2;
    behind[i] = all - before[i];
  }
}

/* Attributes of a primitive that adds to its result. */
static int adding(handle *attributes) {
  handle sum;
  TRY(dnnl.primitive_attr_create(attributes));
  TRY(dnnl.post_ops_create(&sum));
  TRY(dnnl.post_ops_append_sum(sum, 1, 0, FLOAT));
  TRY(dnnl.primitive_attr_set_post_ops(*attributes, sum));
  return dnnl.post_ops_destroy(sum);
}

static int prepare(convolution *c) {
  handle x, k, own, y, forward, chosen, attributes = NULL;
  int64_t before[MAX_RANK] = {0}, behind[MAX_RANK] = {0};
  const int64_t strides[MAX_RANK] = {c->stride, c->stride};
  const int64_t dilation[MAX_RANK] = {0};
  padding(c, before, behind);
  TRY(image_layout(&x, c->dims[X]));
  TRY(image_layout(&y, c->dims[Y]));
  TRY(kernel_layout(&k, c->dims[K], c->depth));
  TRY(free_kernel_layout(&own, c->dims[K]));
  if (c->adds) TRY(adding(&attributes));
  TRY(dnnl.convolution_forward_primitive_desc_create(
      &forward, engine, FORWARD_TRAINING, DIRECT, x, own, NULL, y, strides,
      dilation, before, behind, attributes));
  chosen = forward;
  if (c->what == INPUT_GRADIENT)
    TRY(dnnl.convolution_backward_data_primitive_desc_create(
        &chosen, engine, DIRECT, x, own, y, strides, dilation, before, behind,
        forward, NULL));
  if (c->what == KERNEL_GRADIENT)
    TRY(dnnl.convolution_backward_weights_primitive_desc_create(
        &chosen, engine, DIRECT, x, own, NULL, y, strides, dilation, before,
        behind, forward, NULL));
  TRY(dnnl.primitive_create(&c->primitive, chosen));

  int to_kernel = c->what == KERNEL_GRADIENT;
  handle blocked = dnnl.primitive_desc_query_md(
      chosen, to_kernel ? DIFF_WEIGHTS_LAYOUT : WEIGHTS_LAYOUT, 0);
  handle plain_memory[3], blocked_memory, copying;
  TRY(!blocked);
  TRY(dnnl.memory_create(&plain_memory[X], x, engine, NULL));
  TRY(dnnl.memory_create(&plain_memory[K], k, engine, NULL));
  TRY(dnnl.memory_create(&plain_memory[Y], y, engine, NULL));
  TRY(dnnl.memory_create(&blocked_memory, blocked, engine, ALLOCATE));
  memcpy(c->memory, plain_memory, sizeof plain_memory);
  TRY(dnnl.reorder_primitive_desc_create(&copying, to_kernel ? blocked : k,
                                         engine, to_kernel ? k : blocked,
                                         engine, NULL));
  TRY(dnnl.primitive_create(&c->reorder, copying));

  static const int roles[3][3] = {
      [FORWARD] = {SRC, WEIGHTS, DST},
      [INPUT_GRADIENT] = {DIFF_SRC, WEIGHTS, DIFF_DST},
      [KERNEL_GRADIENT] = {SRC, DIFF_WEIGHTS, DIFF_DST},
  };
  for (int i = 0; i < 3; i++)
    c->arguments[i] = (argument){
        roles[c->what][i], i == K ? blocked_memory : plain_memory[i]};
  c->reordered[to_kernel] = (argument){to_kernel ? DST : SRC, plain_memory[K]};
  c->reordered[!to_kernel] =
      (argument){to_kernel ? SRC : DST, blocked_memory};

  dnnl.primitive_desc_destroy(copying);
  if (chosen != forward) dnnl.primitive_desc_destroy(chosen);
  dnnl.primitive_desc_destroy(forward);
  if (attributes) dnnl.primitive_attr_destroy(attributes);
  dnnl.memory_desc_destroy(x);
  dnnl.memory_desc_destroy(y);
  dnnl.memory_desc_destroy(k);
  dnnl.memory_desc_destroy(own);
  return 0;
}

/* The convolutions that this process has prepared; a network has dozens. */
static convolution *prepared;

static convolution *find(const convolution *wanted) {
  for (convolution *c = prepared; c; c = c->next)
    if (c->what == wanted->what && c->stride == wanted->stride &&
        c->depth == wanted->depth && c->adds == wanted->adds &&
        !memcmp(c->dims, wanted->dims, sizeof c->dims))
      return c;
  convolution *made = malloc(sizeof *made);
  if (!made) return NULL;
  *made = *wanted;
  if (prepare(made)) {
    free(made);
    return NULL;
  }
  made->next = prepared;
  return prepared = made;
}

static int execute(convolution *c, float *const data[3]) {
  for (int i = 0; i < 3; i++)
    TRY(dnnl.memory_set_data_handle(c->memory[i], data[i]));
  if (c->what != KERNEL_GRADIENT)
    TRY(dnnl.primitive_execute(c->reorder, stream, 2, c->reordered));
  TRY(dnnl.primitive_execute(c->primitive, stream, 3, c->arguments));
  if (c->what == KERNEL_GRADIENT)
    TRY(dnnl.primitive_execute(c->reorder, stream, 2, c->reordered));
  return dnnl.stream_wait(stream);
}

/* The arrays of a call: its arguments, then its results. */
static const buffer *array(const call_frame *frame, int i) {
  const int64_t given = frame->arguments.count;
  return i < given ? frame->arguments.items[i]
                   : frame->results.items[i - given];
}

/* Compute with the arrays at these places of a call. The kernel of x are the
   input channels of k from `first` on. */
static int compute(const call_frame *frame, kind what, int x, int k, int y,
                   int64_t first) {
  const buffer *b[] = {[X] = array(frame, x), array(frame, k), array(frame, y)};
  convolution wanted = {.what = what, .stride = 1};
  if (frame->attributes.count)
    wanted.stride = *(const int64_t *)attribute_of(frame, 0);
  for (int i = 0; i < 3; i++)
    memcpy(wanted.dims[i], b[i]->dims, sizeof wanted.dims[i]);
  wanted.dims[K][2] = b[X]->dims[3];
  wanted.depth = b[K]->dims[2];
  wanted.adds = what == FORWARD && first > 0;
  convolution *c = find(&wanted);
  float *part = (float *)b[K]->data + first * b[K]->dims[3];
  return !c || execute(c, (float *[]){b[X]->data, part, b[Y]->data});
}

/* Compute with two images, whose channels are joined, and one kernel. */
static int compute_joined(const call_frame *frame, kind what, int x1, int x2,
                          int k, int y) {
  TRY(compute(frame, what, x1, k, y, 0));
  return compute(frame, what, x2, k, y, array(frame, x1)->dims[3]);
}

#define CALL(name, given, made, numbers, computed)                       \
  static int compute_##name(const call_frame *frame) { return computed; } \
  void *name(call_frame *frame) {                                        \
    static const operation o = {given, made, numbers, "4444",            \
                                compute_##name};                         \
    return bridge_run(frame, &o);                                        \
  }

CALL(convolution_forward, 2, 1, 1, compute(frame, FORWARD, 0, 1, 2, 0))
CALL(convolution_input_gradient, 2, 1, 1,
     compute(frame, INPUT_GRADIENT, 2, 0, 1, 0))
CALL(convolution_kernel_gradient, 2, 1, 1,
     compute(frame, KERNEL_GRADIENT, 0, 2, 1, 0))
CALL(joined_forward, 3, 1, 0, compute_joined(frame, FORWARD, 0, 1, 2, 3))
CALL(joined_input_gradient, 2, 2, 0,
     compute_joined(frame, INPUT_GRADIENT, 2, 3, 0, 1))
CALL(joined_kernel_gradient, 3, 1, 0,
     compute_joined(frame, KERNEL_GRADIENT, 0, 1, 3, 2))
