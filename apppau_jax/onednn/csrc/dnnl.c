/* Opens oneDNN. */

#include "bridge.h"
#include "dnnl.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { CPU = 1, IN_ORDER = 1 };

library dnnl;
handle engine, stream;

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
      WANTED(primitive_attr_create),
      WANTED(primitive_attr_set_post_ops),
      WANTED(primitive_attr_destroy),
      WANTED(post_ops_create),
      WANTED(post_ops_append_sum),
      WANTED(post_ops_destroy),
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
