/* oneDNN's convolutions, and what else is needed of oneDNN.

   This file declares the parts that it needs of oneDNN 3
   (https://uxlfoundation.github.io/oneDNN), which is not needed for
   compilation; it is opened by name. */

#include "bridge.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* oneDNN: the values of dnnl_cpu, dnnl_f32, DNNL_ARG_SRC and so on. */

enum { CPU = 1, IN_ORDER = 1, FLOAT = 3, ANY_LAYOUT = 1, DIRECT = 1 };
enum { FORWARD_TRAINING = 64, WEIGHTS_LAYOUT = 131, DIFF_WEIGHTS_LAYOUT = 132 };
enum { SRC = 1, DST = 17, WEIGHTS = 33 };
enum { DIFF_SRC = 129, DIFF_DST = 145, DIFF_WEIGHTS = 161 };
#define MAX_RANK 12
#define ALLOCATE ((void *)-1)

typedef void *handle; /* an engine, a layout, a primitive and the like */

typedef struct {
  int what;
  handle memory;
} argument;

static struct {
  int (*engine_create)(handle *, int, size_t);
  int (*stream_create)(handle *, handle, unsigned);
  int (*stream_wait)(handle);
  int (*memory_desc_create_with_tag)(handle *, int, const int64_t *, int, int);
  int (*memory_desc_create_with_strides)(handle *, int, const int64_t *, int,
                                         const int64_t *);
  int (*memory_desc_destroy)(handle);
  int (*memory_create)(handle *, handle, handle, void *);
  int (*memory_set_data_handle)(handle, void *);
  int (*convolution_forward_primitive_desc_create)(
      handle *, handle, int, int, handle, handle, handle, handle,
      const int64_t *, const int64_t *, const int64_t *, const int64_t *,
      handle);
  int (*convolution_backward_data_primitive_desc_create)(
      handle *, handle, int, handle, handle, handle, const int64_t *,
      const int64_t *, const int64_t *, const int64_t *, handle, handle);
  int (*convolution_backward_weights_primitive_desc_create)(
      handle *, handle, int, handle, handle, handle, handle, const int64_t *,
      const int64_t *, const int64_t *, const int64_t *, handle, handle);
  int (*reorder_primitive_desc_create)(handle *, handle, handle, handle, handle,
                                       handle);
  handle (*primitive_desc_query_md)(handle, int, int);
  int (*primitive_desc_destroy)(handle);
  int (*primitive_create)(handle *, handle);
  int (*primitive_execute)(handle, handle, int, const argument *);
} dnnl;

static handle engine, stream;

/* A convolution y = x * k of one shape, or one of its two gradients.

   Images have XLA's layout (batch, rows, columns, channels). oneDNN chooses the
   layout of the kernel, and `reorder` converts between it and XLA's (rows,
   columns, input, output). */

typedef enum { FORWARD, INPUT_GRADIENT, KERNEL_GRADIENT } kind;
enum { X, K, Y };

typedef struct convolution {
  kind what;
  int64_t stride, dims[3][4]; /* of x, k, y in XLA's layout */
  handle primitive, reorder, memory[3];
  argument arguments[3], reordered[2];
  struct convolution *next;
} convolution;

#define TRY(call) \
  if (call) return 1

static int image_layout(handle *layout, const int64_t d[4]) {
  int64_t dims[MAX_RANK] = {d[0], d[3], d[1], d[2]};
  int64_t strides[MAX_RANK] = {d[1] * d[2] * d[3], 1, d[2] * d[3], d[3]};
  return dnnl.memory_desc_create_with_strides(layout, 4, dims, FLOAT, strides);
}

static int kernel_layout(handle *layout, const int64_t d[4]) {
  int64_t dims[MAX_RANK] = {d[3], d[2], d[0], d[1]};
  int64_t strides[MAX_RANK] = {1, d[3], d[1] * d[2] * d[3], d[2] * d[3]};
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

static int prepare(convolution *c) {
  handle x, k, own, y, forward, chosen;
  int64_t before[MAX_RANK] = {0}, behind[MAX_RANK] = {0};
  const int64_t strides[MAX_RANK] = {c->stride, c->stride};
  const int64_t dilation[MAX_RANK] = {0};
  padding(c, before, behind);
  TRY(image_layout(&x, c->dims[X]));
  TRY(image_layout(&y, c->dims[Y]));
  TRY(kernel_layout(&k, c->dims[K]));
  TRY(free_kernel_layout(&own, c->dims[K]));
  TRY(dnnl.convolution_forward_primitive_desc_create(
      &forward, engine, FORWARD_TRAINING, DIRECT, x, own, NULL, y, strides,
      dilation, before, behind, NULL));
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
  dnnl.memory_desc_destroy(x);
  dnnl.memory_desc_destroy(y);
  dnnl.memory_desc_destroy(k);
  dnnl.memory_desc_destroy(own);
  return 0;
}

/* The convolutions that this process has prepared; a network has dozens. */
static convolution *prepared;

static convolution *find(kind what, int64_t stride, const buffer *b[3]) {
  convolution wanted = {.what = what, .stride = stride};
  for (int i = 0; i < 3; i++)
    memcpy(wanted.dims[i], b[i]->dims, sizeof wanted.dims[i]);
  for (convolution *c = prepared; c; c = c->next)
    if (c->what == what && c->stride == stride &&
        !memcmp(c->dims, wanted.dims, sizeof wanted.dims))
      return c;
  convolution *made = malloc(sizeof *made);
  if (!made || prepare(&wanted)) {
    free(made);
    return NULL;
  }
  *made = wanted;
  made->next = prepared;
  return prepared = made;
}

static int execute(convolution *c, const buffer *b[3]) {
  for (int i = 0; i < 3; i++)
    TRY(dnnl.memory_set_data_handle(c->memory[i], b[i]->data));
  if (c->what != KERNEL_GRADIENT)
    TRY(dnnl.primitive_execute(c->reorder, stream, 2, c->reordered));
  TRY(dnnl.primitive_execute(c->primitive, stream, 3, c->arguments));
  if (c->what == KERNEL_GRADIENT)
    TRY(dnnl.primitive_execute(c->reorder, stream, 2, c->reordered));
  return dnnl.stream_wait(stream);
}

/* `place` maps the two arguments and the result to x, k and y. */
static int compute(const call_frame *frame, kind what, const int place[3]) {
  const int64_t stride = *(const int64_t *)attribute_of(frame, 0);
  const buffer *b[3];
  b[place[0]] = frame->arguments.items[0];
  b[place[1]] = frame->arguments.items[1];
  b[place[2]] = frame->results.items[0];
  convolution *c = find(what, stride, b);
  return !c || execute(c, b);
}

static int forward(const call_frame *frame) {
  return compute(frame, FORWARD, (const int[]){X, K, Y});
}

static int input_gradient(const call_frame *frame) {
  return compute(frame, INPUT_GRADIENT, (const int[]){K, Y, X});
}

static int kernel_gradient(const call_frame *frame) {
  return compute(frame, KERNEL_GRADIENT, (const int[]){X, Y, K});
}

void *convolution_forward(call_frame *frame) {
  static const operation o = {2, 1, 1, "444", forward};
  return bridge_run(frame, &o);
}

void *convolution_input_gradient(call_frame *frame) {
  static const operation o = {2, 1, 1, "444", input_gradient};
  return bridge_run(frame, &o);
}

void *convolution_kernel_gradient(call_frame *frame) {
  static const operation o = {2, 1, 1, "444", kernel_gradient};
  return bridge_run(frame, &o);
}

/* Open oneDNN; call it once, before any other function.

   Returns 0 on success, otherwise writes the reason to `why`. */
int bridge_open(const char *path, char *why, size_t room) {
  static const struct {
    const char *name;
    void *function;
  } wanted[] = {
#define WANTED(name) {"dnnl_" #name, &dnnl.name}
      WANTED(engine_create),
      WANTED(stream_create),
      WANTED(stream_wait),
      WANTED(memory_desc_create_with_tag),
      WANTED(memory_desc_create_with_strides),
      WANTED(memory_desc_destroy),
      WANTED(memory_create),
      WANTED(memory_set_data_handle),
      WANTED(convolution_forward_primitive_desc_create),
      WANTED(convolution_backward_data_primitive_desc_create),
      WANTED(convolution_backward_weights_primitive_desc_create),
      WANTED(reorder_primitive_desc_create),
      WANTED(primitive_desc_query_md),
      WANTED(primitive_desc_destroy),
      WANTED(primitive_create),
      WANTED(primitive_execute),
#undef WANTED
  };
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(why, room, "%s", dlerror());
    return 1;
  }
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    void *found = dlsym(library, wanted[i].name);
    if (!found) {
      snprintf(why, room, "%s has no symbol %s", path, wanted[i].name);
      return 1;
    }
    memcpy(wanted[i].function, &found, sizeof found);
  }
  if (dnnl.engine_create(&engine, CPU, 0) ||
      dnnl.stream_create(&stream, engine, IN_ORDER)) {
    snprintf(why, room, "%s cannot create a CPU engine", path);
    return 1;
  }
  if (bridge_start()) {
    snprintf(why, room, "the worker thread cannot be created");
    return 1;
  }
  return 0;
}
