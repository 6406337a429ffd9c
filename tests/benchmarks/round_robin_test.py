"""How turns are taken and summed up, without any contender's work."""

import sys

import pytest

from benchmarks import round_robin


class _Contender(round_robin.Contender):
  def __init__(self, name, walls):
    self.name, self.facts = name, {"flops": 6.0, "matrix_rate": 4.0}
    self.turns = [{"wall": wall, "cpu": 2 * wall} for wall in walls]


def test_ratio_is_taken_round_by_round():
  """A machine that slows down threefold changes both, and no ratio."""
  ours = _Contender("ours", [1.0, 3.0, 9.0])
  peer = _Contender("peer", [2.0, 6.0, 9.0])
  assert round_robin.ratio(ours, peer) == 2.0
  assert round_robin.ratio(peer, ours) == 0.5


def test_summary_and_row():
  row = round_robin.row(_Contender("ours", [1.0, 2.0, 3.0, 4.0, 5.0]), images=6)
  assert row["wall_s"] == {"median": 3.0, "q1": 2.0, "q3": 4.0, "n": 5}
  assert row["images_per_s"] == 2.0
  assert row["share_of_matrix_rate"] == 0.5
  assert round_robin.summary([7.0])["median"] == 7.0


def test_a_child_answers_turn_by_turn(monkeypatch, tmp_path):
  """The protocol, with a child that chatters before it answers."""
  child = (
    "import sys\n"
    "print('warming up')\n"
    "print('{\"compile_s\": 1}', flush=True)\n"
    "for line in sys.stdin:\n"
    "  end = line.strip() == 'end'\n"
    '  print(\'{"peak_mib": 5}\' if end else \'{"wall": 2, "cpu": 1}\','
    " flush=True)\n"
    "  if end: break\n"
  )
  (tmp_path / "child.py").write_text(child)
  real = round_robin.subprocess.Popen

  def popen(command, **options):
    return real([sys.executable, str(tmp_path / "child.py")], **options)

  monkeypatch.setattr(round_robin.subprocess, "Popen", popen)
  (found,) = round_robin.compete({"it": {}}, rounds=2)
  assert found.facts == {"compile_s": 1, "peak_mib": 5}
  assert [turn["wall"] for turn in found.turns] == [2, 2]
  (tmp_path / "child.py").write_text("")
  with pytest.raises(RuntimeError, match="contender it ended"):
    round_robin.compete({"it": {}}, rounds=1)
