"""The section of the report on the class of each image."""

from apppau_jax.metrics import classification


def test_metrics_beside_those_of_the_majority_class(reports, report_page):
  block = reports.classification()["classification"]
  low, high = block["ci95"]["accuracy"]
  interval = f"[{low:.4f}, {high:.4f}]"
  accuracy = ["↑ higher", "0.7500", interval, "0.5000"]
  assert report_page.row("Accuracy") == accuracy
  # Ties of size go to the first class: F1 2 / 3 and 0 by always naming it.
  assert report_page.row("F1 of normal")[-1] == "0.6667"
  assert report_page.row("F1 of tb")[-1] == "0.0000"
  assert report_page.row("Macro F1")[-1] == "0.3333"
  # 14 of the 16 pairs of images are in the right order.
  assert report_page.row("AUROC")[1::2] == ["0.8750", "0.5000"]
  assert report_page.row("Brier")[::3] == ["↓ lower", "–"]
  assert "temperature 1.7500" in report_page.text
  assert "ECE from 0.3125 to" in report_page.text
  assert "end of the allowed range" not in report_page.text


def test_confusion_matrix_is_a_table_with_named_rows_and_columns(report_page):
  assert ["True class", "Predicted normal", "Predicted tb"] in report_page.rows
  rows = [r for r in report_page.rows if r[0] in ("normal", "tb")]
  assert rows == [["normal", "375 %", "125 %"], ["tb", "125 %", "375 %"]]
  scopes = [x.get("scope") for x in report_page.attributes("th")]
  assert set(scopes) == {"row", "col"}


def test_reference_masks_stand_apart_with_their_warning(report_page):
  assert "Not a result. Accuracy 0.9877" in report_page.text
  assert not [row for row in report_page.rows if "0.9877" in " ".join(row)]


def test_images_are_listed_with_their_class_where_known(report_page):
  (head,) = (r for r in report_page.rows if r[0] == "Image")
  assert head[-3:] == ["True class", "Named class", "Its probability"]
  assert report_page.row("x0")[-3:] == ["normal", "normal", "0.8750"]
  assert report_page.row("x1")[-3:] == ["tb", "tb", "0.7500"]
  assert report_page.row("x2")[-3:] == ["–"] * 3


def test_undefined_and_extreme_values_are_explained(reports, tmp_path):
  block = classification.summarise(
    [[0.9, 0.1], [0.4, 0.6]], [0, 0], class_names=["normal", "tb"]
  )
  report = reports.report(
    per_image=[],
    split="validation",
    classification=block | {"temperature": classification.TEMPERATURES[0]},
    classification_oracle_mask=None,
  )
  page = reports.page(reports.write(tmp_path, report=report))
  assert page.row("AUROC")[1:3] == ["–", "–"]
  assert "balanced accuracy (no image of class tb)" in page.text
  assert "end of the allowed range" in page.text
  assert "these same images" in page.text
  assert "Reference masks" not in page.text
  assert ["tb", "0–", "0–"] in page.rows
