"""oneDNN's convolutions against SciPy's correlation and XLA's own."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import signal

from apppau_jax.models import blocks
from apppau_jax.onednn import bridge, convolutions

LAYOUT = ("NHWC", "HWIO", "NHWC")

pytestmark = pytest.mark.skipif(
  bool(bridge.missing()), reason=f"no oneDNN: {bridge.missing()}"
)


def _oned(image, kernel, stride, **more):
  return convolutions.convolution(
    image, kernel, (stride, stride), "SAME", dimension_numbers=LAYOUT, **more
  )


def _xla(image, kernel, stride):
  return lax.conv_general_dilated(
    image, kernel, (stride, stride), "SAME", dimension_numbers=LAYOUT
  )


def _draw(*shapes, seed=0):
  rng = np.random.default_rng(seed)
  return [rng.standard_normal(s).astype(np.float32) for s in shapes]


def _calls(function, *args):
  return jax.jit(function).lower(*args).as_text().count("@apppau_")


@pytest.mark.parametrize(("side", "size"), [(8, 3), (7, 5), (6, 1)])
def test_forward_is_scipys_correlation(side, size):
  image, kernel = _draw((2, side, side + 2, 3), (size, size, 3, 4))
  expected = np.zeros((2, side, side + 2, 4))
  for b in range(2):
    for out in range(4):
      for c in range(3):
        expected[b, ..., out] += signal.correlate2d(
          image[b, ..., c], kernel[..., c, out], mode="same"
        )
  found = jax.jit(functools.partial(_oned, stride=1))(image, kernel)
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


# The shapes of S and D, and odd ones: batch, sides, kernel, stride, in, out.
SHAPES = [
  (4, 16, 16, 3, 1, 1, 16),
  (4, 16, 16, 3, 1, 32, 16),
  (2, 8, 8, 1, 1, 24, 96),
  (2, 8, 8, 1, 1, 8, 1),
  (2, 16, 16, 2, 2, 16, 8),
  (2, 16, 16, 5, 2, 2, 16),
  (3, 9, 13, 5, 2, 3, 7),
  (3, 7, 5, 3, 3, 5, 2),
  (2, 1, 1, 3, 1, 4, 4),
  (2, 1, 2, 5, 2, 4, 4),
]


def _check_against_xla(ours, xla, *arrays):
  """Compare the value and the gradient of every array."""

  def value_and_gradients(convolve):
    @jax.jit
    def run(*arrays):
      y, pull = jax.vjp(convolve, *arrays)
      slope = jnp.sin(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
      return y, *pull(slope)

    return run

  assert _calls(value_and_gradients(ours), *arrays) == 3
  for found, expected in zip(
    value_and_gradients(ours)(*arrays), value_and_gradients(xla)(*arrays)
  ):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_both_gradients_are_xlas(shape):
  b, h, w, size, stride, c, d = shape
  _check_against_xla(
    functools.partial(_oned, stride=stride),
    functools.partial(_xla, stride=stride),
    *_draw((b, h, w, c), (size, size, c, d)),
  )


@pytest.mark.parametrize(("c", "d"), [(32, 16), (8, 1), (3, 5)])
def test_upsampling_and_its_gradients_are_xlas(c, d):
  def up(by):
    return lambda x, k: by(x, k, (1, 1), "SAME", dimension_numbers=LAYOUT)

  _check_against_xla(
    up(convolutions.up_convolution),
    up(blocks.XLA.up),
    *_draw((2, 6, 4, c), (1, 1, c, 4 * d)),
  )


# Batch, sides, channels of both inputs and of the result, side of the kernel.
@pytest.mark.parametrize(
  ("b", "h", "w", "c1", "c2", "d", "size"),
  [
    (2, 16, 12, 16, 16, 16, 3),
    (3, 8, 8, 32, 16, 32, 3),
    (2, 7, 5, 3, 5, 7, 3),
    (4, 6, 6, 1, 2, 1, 3),
    (2, 5, 4, 17, 1, 16, 1),
  ],
)
def test_joined_channels_and_all_gradients_are_xlas(b, h, w, c1, c2, d, size):
  _check_against_xla(
    convolutions.joined_convolution,
    blocks.conv_joined,
    *_draw((b, h, w, c1), (b, h, w, c2), (size, size, c1 + c2, d)),
  )


def test_joined_channels_of_a_single_image_are_xlas():
  arrays = _draw((1, 4, 4, 2), (1, 4, 4, 3), (3, 3, 5, 4))
  assert not _calls(convolutions.joined_convolution, *arrays)
  np.testing.assert_array_equal(
    jax.jit(convolutions.joined_convolution)(*arrays),
    jax.jit(blocks.conv_joined)(*arrays),
  )


@pytest.mark.parametrize("wrong", [(2, 4, 3, 3), (3, 4, 4, 3), (2, 4, 4, 4)])
def test_joined_images_and_kernel_must_fit(wrong):
  a, b, kernel = _draw((2, 4, 4, 2), wrong, (3, 3, 5, 4))
  with pytest.raises((TypeError, ValueError)):
    jax.jit(convolutions.joined_convolution)(a, b, kernel)


def test_same_bits_each_time():
  image, kernel = _draw((8, 32, 32, 16), (3, 3, 16, 16))

  def slope(kernel):
    return jax.grad(lambda k: (_oned(image, k, 1) ** 2).sum())(kernel)

  first, *others = [np.asarray(jax.jit(slope)(kernel)) for _ in range(4)]
  for other in others:
    np.testing.assert_array_equal(other, first)


def test_two_strides_of_the_same_shapes_are_two_convolutions():
  # Four rows, two results: of stride 2 or of stride 3.
  image, kernel = _draw((2, 4, 4, 2), (3, 3, 2, 2))
  for stride in (2, 3):
    np.testing.assert_allclose(
      *(by(image, kernel, stride) for by in (_oned, _xla)), rtol=1e-5, atol=1e-5
    )


def test_a_batch_of_batches():
  image, kernel = _draw((3, 2, 8, 8, 4), (3, 3, 4, 4))
  found = jax.vmap(lambda x: _oned(x, kernel, 1))(image)
  expected = jnp.stack([_xla(x, kernel, 1) for x in image])
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
  ("dtype", "batch", "groups", "dilation", "padding"),
  [
    ("bfloat16", 2, 1, 1, "SAME"),
    ("float32", 1, 1, 1, "SAME"),
    ("float32", 2, 2, 1, "SAME"),
    ("float32", 2, 1, 2, "SAME"),
    ("float32", 2, 1, 1, "VALID"),
  ],
)
def test_unsupported_convolutions_are_xlas(
  dtype, batch, groups, dilation, padding
):
  image, kernel = _draw((batch, 8, 8, 4), (3, 3, 4 // groups, 4))
  more = {
    "dimension_numbers": LAYOUT,
    "feature_group_count": groups,
    "rhs_dilation": (dilation, dilation),
  }

  def run(convolve):
    return lambda: convolve(
      image.astype(dtype), kernel.astype(dtype), (1, 1), padding, **more
    )

  assert not _calls(run(convolutions.convolution))
  np.testing.assert_array_equal(
    jax.jit(run(convolutions.convolution))(),
    jax.jit(run(lax.conv_general_dilated))(),
  )


_EXIT_DURING_A_CALL = """
import sys, time
import jax, jax.numpy as jnp
from jax import lax
from apppau_jax.onednn import convolutions as onednn

def step(i, x):
  return onednn.convolution(
    x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

x, kernel = jnp.ones((8, 64, 64, 32)), jnp.full((3, 3, 32, 32), 1e-3)
loop = jax.jit(lambda x: lax.fori_loop(0, 300, step, x))
loop.lower(x).compile()
y = loop(x)
time.sleep(0.1)
sys.exit(7)
"""


def test_a_process_may_end_in_the_middle_of_one():
  # Python code called by XLA would wait forever for the interpreter.
  done = subprocess.run(
    [sys.executable, "-c", _EXIT_DURING_A_CALL], timeout=120, check=False
  )
  assert done.returncode == 7


_MANY_CALLERS = """
import os, threading
import jax, jax.numpy as jnp
from apppau_jax.onednn import convolutions as onednn

x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 4, 4))
run = jax.jit(lambda x: onednn.convolution(
  x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
jax.block_until_ready(run(x))
met = threading.Barrier(17)

def call():
  jax.block_until_ready(run(x))
  met.wait()
  met.wait()

threads = [threading.Thread(target=call) for _ in range(16)]
before = len(os.listdir("/proc/self/task"))
for t in threads: t.start()
met.wait()
print(len(os.listdir("/proc/self/task")) - before)
met.wait()
"""


def test_a_calling_thread_starts_no_others():
  # OpenMP keeps a team of threads for every thread that calls it.
  said = subprocess.run(
    [sys.executable, "-c", _MANY_CALLERS],
    env={**os.environ, "OMP_NUM_THREADS": "4"},
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  assert int(said) == 16
