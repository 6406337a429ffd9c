"""Run lengths against hand-computed masks and loops over pixels."""

import numpy as np
import pytest

from apppau_jax.imaging import run_lengths

SIZE = (5, 7)
MASKS = [
  np.random.default_rng(seed).random(SIZE) < share
  for seed, share in enumerate([0.1, 0.3, 0.5, 0.8, 0.95])
]
MASKS += [np.ones(SIZE, bool), np.eye(*SIZE, dtype=bool)]
FORMS = {
  "chexmask": {"columns": False, "first": 1, "relative": False},
  "siim": {"columns": True, "first": 0, "relative": True},
  "kaggle": {"columns": True, "first": 1, "relative": False},
}


def _runs(mask, *, columns):
  """(start, length) from 0, pixel by pixel."""
  flat = (mask.T if columns else mask).ravel().tolist()
  runs, inside = [], False
  for i, pixel in enumerate(flat):
    if pixel and not inside:
      runs.append([i, 0])
    inside = pixel
    if pixel:
      runs[-1][1] += 1
  return runs


def _encoded(mask, *, columns, first, relative):
  numbers, end = [], 0
  for start, length in _runs(mask, columns=columns):
    numbers += [start - end if relative else start + first, length]
    end = start + length
  return " ".join(map(str, numbers))


def _counts(mask):
  flat = mask.T.ravel()
  counts, value = [0], False
  for pixel in flat.tolist():
    if pixel != value:
      counts.append(0)
      value = pixel
    counts[-1] += 1
  return counts


def _packed(counts):
  """rleToString of the COCO API, written from its formula."""
  text = ""
  for i, count in enumerate(counts):
    x = count - counts[i - 2] if i > 2 else count
    while True:
      bits = x & 31
      x >>= 5
      more = x != -1 if bits & 16 else x != 0
      text += chr(bits + 32 * more + 48)
      if not more:
        break
  return text


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("mask", MASKS)
def test_pairs_become_the_mask_that_was_encoded(mask, form):
  text = _encoded(mask, **form)
  read = run_lengths.decode_pairs(text, SIZE, **form)
  assert read.dtype == bool
  np.testing.assert_array_equal(read, mask)


@pytest.mark.parametrize("mask", [*MASKS, np.zeros(SIZE, bool)])
def test_counts_become_the_mask_that_was_encoded(mask):
  counts = _counts(mask)
  for stated in (counts, _packed(counts)):
    read = run_lengths.decode_counts(stated, SIZE)
    np.testing.assert_array_equal(read, mask)


def test_counts_of_more_than_five_bits_by_hand():
  # 100 = 3 * 32 + 4: "T" is 4 + 32 + 48, "3" is 3 + 48.
  mask = run_lengths.decode_counts("T30", (10, 10))
  assert not mask.any()
  # 0, 100: "0" and the same two characters.
  assert run_lengths.decode_counts("0T3", (10, 10)).all()


def test_siim_by_hand():
  # Down the columns from 0: four pixels are skipped, two are inside, one is
  # skipped, three are inside.
  mask = run_lengths.decode_pairs("4 2 1 3", (5, 3), **FORMS["siim"])
  np.testing.assert_array_equal(
    mask.astype(int),
    [[0, 1, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0]],
  )


def test_minus_one_is_no_pixel():
  for text in ("-1", " -1"):
    read = run_lengths.decode_pairs(text, SIZE, **FORMS["siim"])
    assert read.shape == SIZE
    assert not read.any()


@pytest.mark.parametrize(
  ("text", "reason"),
  [
    ("", "pairs"),
    ("1", "pairs"),
    ("1 2 3", "pairs"),
    ("1 -2", "pairs"),
    ("1.5 2", "pairs"),
    ("nan", "pairs"),
    ("-1 -1", "pairs"),
    ("1" * 5000 + " 1", "pairs"),
    ("٣ 1", "pairs"),  # a digit of Unicode
    ("0 1", "leave"),
    ("34 3", "leave"),
    ("9999999999 9999999999", "leave"),
    ("1 0", "no length"),
    ("3 4 5 2", "run 2 begins"),
    ("5 1 3 1", "run 2 begins"),
    ("1 1 " * 2**21 + "1", "characters"),
  ],
)
def test_other_pairs_are_refused(text, reason):
  with pytest.raises(ValueError, match=reason):
    run_lengths.decode_pairs(text, SIZE)


@pytest.mark.parametrize(
  ("counts", "reason"),
  [
    ([], "add up"),
    ([34], "add up"),
    ([36], "add up"),
    ([-1, 36], "add up"),
    ([10**12], "add up"),
    ("", "add up"),
    ("o", "incomplete"),
    ("~", "character"),
    ("é", "character"),
    ("oooooooooooo1", "35 bits"),
    ("O", "count 1 is -1"),
  ],
)
def test_other_counts_are_refused(counts, reason):
  with pytest.raises(ValueError, match=reason):
    run_lengths.decode_counts(counts, SIZE)


@pytest.mark.parametrize("size", [(0, 5), (40_000, 1), (10_000, 10_000)])
def test_sizes_of_no_radiograph_are_refused(size):
  with pytest.raises(ValueError, match="size"):
    run_lengths.decode_pairs("1 1", size)
  with pytest.raises(ValueError, match="size"):
    run_lengths.decode_counts([1], size)
