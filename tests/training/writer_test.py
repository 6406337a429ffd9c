"""metrics.jsonl is the truth: whole lines, none doubled."""

import io
import os
import pathlib
import struct

import numpy as np
import pytest
from PIL import Image
from tensorboardX import record_writer
from tensorboardX.proto import event_pb2

from apppau_jax.training import writer
from apppau_jax.training.tensorboard import Board


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
  monkeypatch.setattr(run._board, "scalar", fail)
  run.scalars("train", step=1, values={"loss": 1.0})
  run.image("x", np.zeros((2, 2, 3), np.uint8), step=1)
  run.close()
  assert "disk quota exceeded" in caplog.text
  assert len(writer.read_history(tmp_path / "metrics.jsonl")) == 1


@pytest.mark.skipif(
  not os.path.exists("/dev/full"), reason="no device that is always full"
)
def test_a_full_disk_ends_the_board_and_nothing_else(
  tmp_path, monkeypatch, caplog
):
  full = pathlib.Path("/dev/full")
  monkeypatch.setattr(record_writer, "open_file", lambda _: full.open("wb"))
  run = writer.Writer(tmp_path, start_step=0)
  picture = np.arange(300 * 300 * 3, dtype=np.uint32).astype(np.uint8)
  for step in range(1, 30):
    run.scalars("train", step=step, values={"loss": 1.0, "dice": 0.5})
    run.image("x", picture.reshape(300, 300, 3), step=step)
  run.sync()
  run.close()
  assert "No space left" in caplog.text
  assert len(writer.read_history(tmp_path / "metrics.jsonl")) == 29


def test_the_board_holds_curves_and_pictures(tmp_path):
  """Read back by the protocol: lengths and checksums around each event."""
  board = Board(tmp_path, purge_step=4)
  board.scalar("train/loss", 0.25, step=4)
  board.image("overlay", np.full((2, 3, 3), 7, np.uint8), step=5)
  board.close()
  (path,) = tmp_path.iterdir()
  content, events = path.read_bytes(), []
  while content:
    (size,) = struct.unpack("<Q", content[:8])
    events.append(event_pb2.Event.FromString(content[12 : 12 + size]))
    content = content[16 + size :]
  version, started, loss, overlay = events
  assert version.file_version == "brain.Event:2"
  assert (started.step, started.session_log.status) == (4, 1)
  assert loss.step == 4
  (value,) = loss.summary.value
  assert (value.tag, value.simple_value) == ("train/loss", 0.25)
  (value,) = overlay.summary.value
  assert (value.tag, value.image.height, value.image.width) == ("overlay", 2, 3)
  shown = np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))
  np.testing.assert_array_equal(shown, np.full((2, 3, 3), 7, np.uint8))


def test_one_line_an_epoch_without_a_terminal(capsys):
  with writer.Progress(steps=6, steps_per_epoch=2, start_step=0) as progress:
    for step in range(1, 7):
      progress.update(step, {}, losses={step: float(step)})
  lines = capsys.readouterr().err.splitlines()
  assert [line.rpartition(", ")[0] for line in lines] == [
    f"epoch {e}/3, step {2 * e}/6: mean loss {2 * e - 0.5:.4f}"
    for e in (1, 2, 3)
  ]


def test_the_mean_waits_for_the_losses_of_the_epoch(capsys):
  """The loop reads the metrics of a call while the next one computes."""
  with writer.Progress(steps=4, steps_per_epoch=2, start_step=0) as progress:
    progress.update(1, {}, losses={})
    progress.update(2, {}, losses={1: 1.0})
    assert capsys.readouterr().err == ""
    progress.update(3, {}, losses={2: 3.0})
    assert "mean loss 2.0000" in capsys.readouterr().err


def test_every_line_has_the_latest_of_each_value(capsys):
  """A validation's best stays, and so does the loss beside it."""
  values = [{}, {"best Dice": 0.9}, {}, {"best Dice": 0.95}]
  with writer.Progress(steps=4, steps_per_epoch=1, start_step=0) as progress:
    for step, shown in enumerate(values, start=1):
      progress.update(step, shown, losses={step: 0.5})
  told = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
  assert [line.rpartition(", ")[0] for line in told] == [
    "mean loss 0.5000",
    "mean loss 0.5000, best Dice 0.9000",
    "mean loss 0.5000, best Dice 0.9000",
    "mean loss 0.5000, best Dice 0.9500",
  ]


@pytest.mark.parametrize("damage", [b"[1]", b"{}", b"\xff\xfe", b"[" * 100_000])
def test_damaged_lines_are_left_out_with_a_warning(tmp_path, damage, caplog):
  path = tmp_path / "metrics.jsonl"
  line = b'{"kind": "train", "step": 1, "loss": 0.5}'
  path.write_bytes(b"\n".join([line, damage, line]))
  assert [h["loss"] for h in writer.read_history(path)] == [0.5, 0.5]
  assert "1 damaged lines" in caplog.text
