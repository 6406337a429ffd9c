"""The pictures of the report."""

import numpy as np


def test_pictures_have_descriptions_and_the_page_a_language(report_page):
  assert report_page.attributes("html") == [{"lang": "en"}]
  assert all(image["alt"] for image in report_page.attributes("img"))
  assert len(report_page.attributes("svg")) == 6
  assert all(svg["aria-label"] for svg in report_page.attributes("svg"))
  assert (
    len(report_page.attributes("main"))
    == len(report_page.attributes("h1"))
    == 1
  )


def test_cases_without_maps_show_no_inside_of_the_network(reports, tmp_path):
  plain = [reports.case("median", side_probs=[], attention={})]
  page = reports.page(reports.write(tmp_path, cases=plain))
  assert "Inside the network" not in page.text
  assert len(page.attributes("img")) == 3
  assert "Dice 0.8765 · HD95 2.25 px" in page.text


def test_maps_of_median_and_worst_from_coarse_to_fine(reports, report_page):
  alts = [image["alt"] for image in report_page.attributes("img")]
  d1, d2 = (reports.case("worst").attention[name] for name in ("D1", "D2"))
  assert [alt for alt in alts if "worst" in alt][3:] == [
    "Side output of 8 × 8 pixels on worst.png",
    "Side output of 32 × 32 pixels on worst.png",
    f"Attention D2: {d2.min():.2f} to {d2.max():.2f} on worst.png",
    f"Attention D1: {d1.min():.2f} to {d1.max():.2f} on worst.png",
  ]
  assert len([alt for alt in alts if "median" in alt]) == 7
  assert len([alt for alt in alts if "best" in alt]) == 3


def test_attention_is_stretched_over_its_own_range(reports, tmp_path):
  unit = np.array([[0.0, 0.25], [0.5, 1.0]])
  maps = {"D1": unit, "D2": 0.25 + unit / 2, "D3": np.full((2, 2), 0.5)}
  page = reports.page(
    reports.write(tmp_path, cases=[reports.case("worst", attention=maps)])
  )
  d3, d2, d1 = [image["src"] for image in page.attributes("img")][-3:]
  assert d2 == d1 != d3
  assert "D2: 0.25 to 0.75" in page.text
  assert "D3: 0.50 to 0.50" in page.text


def test_overlay_shows_the_scored_mask_where_there_is_one(reports, tmp_path):
  def overlay(**changes):
    page = reports.page(
      reports.write(tmp_path, cases=[reports.case("worst", **changes)])
    )
    return page.attributes("img")[0]["src"]

  prob = reports.case("worst").prob
  assert overlay() == overlay(prediction=prob >= 0.5)
  assert overlay() != overlay(prediction=prob >= 0.9)
