"""The images of the report."""

import numpy as np
import pytest


def _images(reports, folder, **changes):
  case = reports.case("worst", **changes)
  page = reports.page(reports.write(folder, cases=[case]))
  return page, [image["src"] for image in page.attributes("img")]


def test_images_have_descriptions_and_the_page_a_language(report_page):
  assert report_page.attributes("html") == [{"lang": "en"}]
  assert all(image["alt"] for image in report_page.attributes("img"))
  assert len(report_page.attributes("svg")) == 6
  assert all(svg["aria-label"] for svg in report_page.attributes("svg"))
  for tag in ("main", "h1"):
    assert len(report_page.attributes(tag)) == 1


def test_cases_without_maps_show_no_inside_of_the_network(reports, tmp_path):
  page, images = _images(reports, tmp_path, side_probs=[], attention={})
  assert "Inside the network" not in page.text
  assert len(images) == 3
  assert "Dice 0.8765 · HD95 2.25 px" in page.text


@pytest.mark.parametrize(("kind", "count"), [("median", 7), ("best", 3)])
def test_maps_are_those_of_median_and_worst(report_page, kind, count):
  alts = [image["alt"] for image in report_page.attributes("img")]
  assert len([alt for alt in alts if kind in alt]) == count


def test_maps_run_from_coarse_to_fine(reports, report_page):
  alts = [image["alt"] for image in report_page.attributes("img")]
  d1, d2 = (reports.case("worst").attention[name] for name in ("D1", "D2"))
  expected = [
    "8 × 8 pixels",
    "32 × 32 pixels",
    f"D2: {d2.min():.2f} to {d2.max():.2f}",
    f"D1: {d1.min():.2f} to {d1.max():.2f}",
  ]
  found = [alt for alt in alts if "worst" in alt][3:]
  for alt, words in zip(found, expected, strict=True):
    assert words in alt


def test_attention_is_stretched_over_its_own_range(reports, tmp_path):
  unit = np.array([[0.0, 0.25], [0.5, 1.0]])
  maps = {"D1": unit, "D2": 0.25 + unit / 2, "D3": np.full((2, 2), 0.5)}
  page, images = _images(reports, tmp_path, attention=maps)
  d3, d2, d1 = images[-3:]
  assert d2 == d1 != d3
  assert "D2: 0.25 to 0.75" in page.text
  assert "D3: 0.50 to 0.50" in page.text


def test_overlay_shows_the_scored_mask_where_there_is_one(reports, tmp_path):
  prob = reports.case("worst").prob
  at_half, same, other = (
    _images(reports, tmp_path, **changes)[1][0]
    for changes in (
      {},
      {"prediction": prob >= 0.5},
      {"prediction": prob >= 0.9},
    )
  )
  assert at_half == same != other
