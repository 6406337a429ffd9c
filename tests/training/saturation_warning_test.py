"""The warning comes once, when D recognises every pair."""

import logging

from apppau_jax.training import saturation_warning

WON = {"discriminator_real_accuracy": 1.0, "discriminator_fake_accuracy": 0.99}


def _notices(caplog, shares):
  saturation = saturation_warning.Saturation()
  with caplog.at_level(logging.WARNING):
    for step, values in enumerate(shares):
      saturation.notice(step, values)
  return [r.getMessage() for r in caplog.records]


def test_once_and_only_after_ten_in_a_row(caplog):
  lost = {**WON, "discriminator_fake_accuracy": 0.5}
  said = _notices(caplog, [WON] * 9 + [lost] + [WON] * 30)
  assert len(said) == 1
  assert said[0].startswith("step 19:")


def test_nine_are_not_enough(caplog):
  assert _notices(caplog, [WON] * 9) == []


def test_silent_without_d(caplog):
  assert _notices(caplog, [{"loss": 1.0}] * 50) == []
