/* What the files of the bridge share.

   The bridge computes custom calls of XLA on one CPU. It declares the parts
   that it needs of XLA's foreign function interface, version 0.x
   (https://openxla.org/xla/custom_call), so XLA is not needed for compilation.
   There is no Python here, because XLA's threads may call this code while the
   interpreter shuts down. */

#ifndef BRIDGE_H
#define BRIDGE_H

#include <stddef.h>
#include <stdint.h>

enum { F32 = 11 };

typedef struct extension {
  size_t size;
  int type;
  struct extension *next;
} extension;

typedef struct {
  size_t size;
  extension *extensions;
  int major, minor;
} version;

typedef struct {
  size_t size;
  extension *extensions;
  const char *message;
  int code;
} error_arguments;

typedef struct {
  size_t size;
  extension *extensions;
  version api;
  const void *internal;
  void *(*create_error)(error_arguments *);
} xla_api;

typedef struct {
  size_t size;
  extension *extensions;
  int type;
  void *data;
  int64_t rank;
  int64_t *dims;
} buffer;

typedef struct {
  size_t size;
  extension *extensions;
  int64_t count;
  int *types;
  buffer **items;
} buffers;

typedef struct {
  int type;
  void *value;
} scalar;

typedef struct {
  size_t size;
  extension *extensions;
  int64_t count;
  int *types;
  void **names;
  scalar **items; /* sorted by name */
} attributes;

typedef struct {
  size_t size;
  extension *extensions;
  const xla_api *api;
  void *context;
  int stage;
  buffers arguments, results;
  attributes attributes;
} call_frame;

/* What a custom call consists of. `ranks` has a digit for every argument and
   then for every result; all are float32. `compute` returns 0 on success. */
typedef struct {
  int64_t arguments, results, attributes;
  const char *ranks;
  int (*compute)(const call_frame *frame);
} operation;

/* Check a call and let the worker thread compute it; return XLA's error. */
void *bridge_run(call_frame *frame, const operation *operation);

/* Start the worker thread; return 0 on success. */
int bridge_start(void);

static inline float *argument_of(const call_frame *frame, int i) {
  return frame->arguments.items[i]->data;
}

static inline float *result_of(const call_frame *frame, int i) {
  return frame->results.items[i]->data;
}

static inline const void *attribute_of(const call_frame *frame, int i) {
  return frame->attributes.items[i]->value;
}

#endif
