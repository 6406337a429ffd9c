/* The parts that are needed of oneDNN 3 (https://uxlfoundation.github.io/oneDNN),
   which is not needed for compilation; it is opened by name. */

#ifndef DNNL_H
#define DNNL_H

#include <stddef.h>
#include <stdint.h>

/* The values of dnnl_f32, DNNL_ARG_SRC and so on. */
enum { FLOAT = 3, ANY_LAYOUT = 1, DIRECT = 1 };
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

typedef struct {
  int (*engine_create)(handle *, int, size_t);
  int (*stream_create)(handle *, handle, unsigned);
  int (*stream_wait)(handle);
  int (*memory_desc_create_with_tag)(handle *, int, const int64_t *, int, int);
  int (*memory_desc_create_with_strides)(handle *, int, const int64_t *, int,
                                         const int64_t *);
  int (*memory_desc_destroy)(handle);
  int (*memory_create)(handle *, handle, handle, void *);
  int (*memory_set_data_handle)(handle, void *);
  int (*primitive_attr_create)(handle *);
  int (*primitive_attr_set_post_ops)(handle, handle);
  int (*primitive_attr_destroy)(handle);
  int (*post_ops_create)(handle *);
  int (*post_ops_append_sum)(handle, float, int32_t, int);
  int (*post_ops_destroy)(handle);
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
} library;

#pragma GCC visibility push(hidden)
extern library dnnl; /* its functions, once `bridge_open` has found them */
extern handle engine, stream;
#pragma GCC visibility pop

#endif
