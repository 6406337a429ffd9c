"""Warnings where few images stand behind a figure."""

from apppau_jax.experiment import small_parts


def test_only_few_images_are_warned_of():
  said = {n: bool(small_parts.few_images("test", n)) for n in (0, 1, 9, 10)}
  assert said == {0: False, 1: True, 9: True, 10: False}


def test_a_class_of_two_images_is_named():
  label = [0] * 20 + [1] * 2 + [-1] * 5
  note = small_parts.few_of_a_class(label, ("normal", "tb", "absent"))
  assert "tb on 2" in note
  assert "normal" not in note
  assert "absent" not in note
  assert not small_parts.few_of_a_class([0] * 5 + [1] * 5, ("a", "b"))


def test_the_interval_of_one_image_is_explained():
  (first, second) = small_parts.notes("test", {"n": 1})
  assert first.startswith("Only 1 test image:")
  assert "interval" in second
