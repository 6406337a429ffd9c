"""metrics.jsonl is the truth: whole lines, none doubled."""

import numpy as np

from apppau_jax.training import writer


def test_resume_drops_later_points_and_half_lines(tmp_path):
  first = writer.Writer(tmp_path, start_step=0)
  for step in (1, 2, 3):
    first.scalars("train", step=step, values={"loss": step / 2})
  first.close()
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"kind": "train", "st')
  second = writer.Writer(tmp_path, start_step=2)
  second.scalars("train", step=3, values={"loss": 9.0})
  second.close()
  history = writer.read_history(tmp_path / "metrics.jsonl")
  assert [(h["step"], h["loss"]) for h in history] == [
    (1, 0.5),
    (2, 1.0),
    (3, 9.0),
  ]


def test_no_history_is_empty(tmp_path):
  assert writer.read_history(tmp_path / "none.jsonl") == []


def test_a_failing_board_does_not_stop_the_run(tmp_path, monkeypatch, caplog):
  def fail(*args, **kwargs):
    raise OSError("disk quota exceeded")

  run = writer.Writer(tmp_path, start_step=0)
  monkeypatch.setattr(run._board, "add_scalar", fail)
  run.scalars("train", step=1, values={"loss": 1.0})
  run.image("x", np.zeros((2, 2, 3), np.uint8), step=1)
  run.close()
  assert "disk quota exceeded" in caplog.text
  assert len(writer.read_history(tmp_path / "metrics.jsonl")) == 1


def test_one_line_an_epoch_without_a_terminal(capsys):
  with writer.Progress(steps=6, steps_per_epoch=2, start_step=0) as progress:
    for step in range(1, 7):
      progress.update(step, {"loss": 0.5})
  lines = capsys.readouterr().err.splitlines()
  assert [line.split(" eta")[0] for line in lines] == [
    f"epoch {e}/3 step {2 * e}/6 loss 0.5000" for e in (1, 2, 3)
  ]
