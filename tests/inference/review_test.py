"""The page of predictions: its order, its links, and hostile names."""

import re
from urllib.parse import unquote

import pytest

from apppau_jax.inference import review
from apppau_jax.inference.prediction_table import Row


def _row(name, *quality, status="ok", reason="", kind="left_lung_mask"):
  masks = (f"{name}_{kind}.png",) if quality else ()
  return Row(name, status, reason, masks=masks, quality=quality)


def _order(page):
  return re.findall(r"<strong>(.*?)</strong>", page)


def test_failed_and_doubtful_films_come_first(tmp_path):
  rows = [
    _row("sure", 0.99, 0.98, 0.50),
    _row("heart", 0.97, 0.96, 0.01),
    _row("doubtful", 0.99, 0.61, 0.99, status="remark", reason="look here"),
    _row("turned", 0.99, 0.99, 0.99, status="remark", reason="upside down"),
    _row("broken", status="failed", reason="it is cut"),
  ]
  path = review.write(
    tmp_path, rows, structures=("left_lung", "right_lung", "heart")
  )
  page = path.read_text()
  assert _order(page) == ["broken", "doubtful", "turned", "heart", "sure"]
  assert "look here" in page
  assert "it is cut" in page
  links = re.findall(r'src="(.*?)"', page)
  names = ("doubtful", "turned", "heart", "sure")
  assert links == [f"{n}_overlay.png" for n in names]


def test_without_lungs_the_worst_mask_counts(tmp_path):
  rows = [
    _row("b", 0.9, 0.8, kind="heart_mask"),
    _row("a", 0.7, 0.95, kind="heart_mask"),
  ]
  path = review.write(tmp_path, rows, structures=("heart", "effusion"))
  assert _order(path.read_text()) == ["a", "b"]


@pytest.mark.parametrize(
  "name", ['"><script>x()</script>', "a b#c?d%20.png", "ü/é.png"]
)
def test_names_are_text_and_links_lead_to_the_overlay(tmp_path, name):
  row = Row(name, "ok", masks=(f"{name}_mask.png",), quality=(0.9,))
  page = review.write(tmp_path, [row]).read_text()
  assert "<script>" not in page
  (link,) = re.findall(r'src="(.*?)"', page)
  assert unquote(link) == f"{name}_overlay.png"
  assert not re.search(r'https?:|onerror|="javascript', page)


def test_the_index_is_in_the_order_of_the_files(tmp_path):
  rows = [_row("b", 0.5), _row("a", 0.9), _row("c", status="failed")]
  path = review.write(tmp_path, rows, name=review.INDEX)
  assert path.name == "index.html"
  page = path.read_text()
  assert _order(page) == ["a", "b", "c"]
  assert "1 failed, 2 ok" in page
