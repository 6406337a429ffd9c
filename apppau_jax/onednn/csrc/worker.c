/* The worker thread, which computes all custom calls, one at a time.

   Each uses all cores, and oneDNN's primitives share their scratch memory.
   OpenMP keeps a team of threads for every thread that calls it; if XLA's
   threads called it directly, the number of threads would be the square of the
   number of cores. */

#include "bridge.h"

#include <pthread.h>

enum { METADATA = 1, EXECUTE = 3, INTERNAL = 13 };

typedef struct {
  extension base;
  struct {
    size_t size;
    version api;
    uint32_t traits;
    int64_t state_type;
  } * metadata;
} metadata_extension;

typedef struct {
  const call_frame *frame;
  const operation *operation;
  int failed;
} request;

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER; /* one at a time */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards `waiting` */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static request *waiting;

static void *work(void *unused) {
  pthread_mutex_lock(&lock);
  for (;;) {
    while (!waiting) pthread_cond_wait(&changed, &lock);
    waiting->failed = waiting->operation->compute(waiting->frame);
    waiting = NULL;
    pthread_cond_broadcast(&changed);
  }
  return unused;
}

static int fill(request *o) {
  pthread_mutex_lock(&turn);
  pthread_mutex_lock(&lock);
  waiting = o;
  pthread_cond_broadcast(&changed);
  while (waiting) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  pthread_mutex_unlock(&turn);
  return o->failed;
}

int bridge_start(void) {
  pthread_t worker;
  if (pthread_create(&worker, NULL, work, NULL)) return 1;
  return pthread_detach(worker);
}

static void *error(const call_frame *frame, const char *message) {
  error_arguments arguments = {sizeof arguments, NULL, message, INTERNAL};
  return frame->api->create_error(&arguments);
}

static int is_float32(const buffers *list, const char *ranks) {
  for (int64_t i = 0; i < list->count; i++)
    if (list->items[i]->type != F32 || list->items[i]->rank != ranks[i] - '0')
      return 0;
  return 1;
}

void *bridge_run(call_frame *frame, const operation *o) {
  if (frame->extensions && frame->extensions->type == METADATA) {
    metadata_extension *asked = (metadata_extension *)frame->extensions;
    asked->metadata->api.major = 0; /* all minor versions have what is used */
    asked->metadata->api.minor = frame->api ? frame->api->api.minor : 1;
    asked->metadata->traits = 0;
    return NULL;
  }
  if (frame->stage != EXECUTE) return NULL;
  if (frame->arguments.count != o->arguments ||
      frame->results.count != o->results ||
      frame->attributes.count != o->attributes)
    return error(frame, "oneDNN's bridge: wrong number of arguments");
  if (!is_float32(&frame->arguments, o->ranks) ||
      !is_float32(&frame->results, o->ranks + o->arguments))
    return error(frame, "oneDNN's bridge: wrong type or rank of an array");
  request asked = {.frame = frame, .operation = o};
  if (fill(&asked))
    return error(frame, "oneDNN's bridge: unsupported, or out of memory");
  return NULL;
}
