"""Which report stands at a run's front."""

from apppau_jax.experiment import evaluate_run


def test_the_test_parts_report_is_in_front(tmp_path):
  """Measuring validation again must not hide it."""
  for part in ("validation", "test"):
    (tmp_path / "eval" / part).mkdir(parents=True)
    (tmp_path / "eval" / part / "report.html").write_text(part)
    evaluate_run.show(tmp_path)
    assert (tmp_path / "report.html").read_text() == part
  (tmp_path / "eval/validation/report.html").write_text("again")
  evaluate_run.show(tmp_path)
  assert (tmp_path / "report.html").read_text() == "test"
