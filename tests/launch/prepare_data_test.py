import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from apppau_jax.datasets.shenzhen import SHENZHEN

IDS = [*SHENZHEN.ids[:11], "CHNCXR_0025_0", "CHNCXR_0327_1"]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
  root = tmp_path_factory.mktemp("raw")
  (root / "CXR_png").mkdir()
  (root / "mask").mkdir()
  pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
  mask = np.zeros((32, 32), np.uint8)
  mask[8:24, 4:14] = mask[8:24, 18:28] = 255
  for name in IDS:
    Image.fromarray(pixels).save(root / f"CXR_png/{name}.png")
    if name != "CHNCXR_0025_0":
      Image.fromarray(mask).save(root / f"mask/{name}_mask.png")
  small = np.zeros((32, 32), np.uint8)
  small[8:18, 4:13] = 255  # 8.8 % of the image
  Image.fromarray(small).save(root / f"mask/{IDS[4]}_mask.png")
  return root


def _run(*flags):
  return subprocess.run(
    [sys.executable, "-m", "launch.prepare_data", *flags],
    capture_output=True, text=True, check=False,
  )  # fmt: skip


def test_missing_files_are_an_error_until_they_are_allowed(raw, tmp_path):
  flags = ("--dataset=shenzhen", f"--raw_dir={raw}", f"--data_dir={tmp_path}")
  refused = _run(*flags)
  assert refused.returncode == 3
  assert refused.stdout == ""
  assert refused.stderr.count("\n") == 1
  assert refused.stderr.startswith("error: 649 files that belong to the set")
  assert "--allow_missing" in refused.stderr

  done = _run(*flags, "--allow_missing")
  assert done.returncode == 0, done.stderr
  steps = [f"preparing shenzhen: {i}/13" for i in
           (2, 3, 4, 6, 7, 8, 10, 11, 12, 13)]  # fmt: skip
  assert done.stderr.splitlines() == steps
  cells = [c.strip() for c in done.stdout.replace("┃", "│").split("│")]
  row = cells.index("13")
  assert cells[row : row + 6] == ["13", "12", "12", "1", "1", "649"]
  assert f"warning: {IDS[4]}: lungs cover 8.8%" in done.stdout
  assert "  CHNCXR_0025_0\n" in done.stdout
  assert "missing files: 649\n" in done.stdout
  assert "  ... and 639 more\n" in done.stdout
  folder = tmp_path / "shenzhen/128/1.0.0"
  assert f"\nprepared in {folder} " in done.stdout
  record = json.loads((folder / "prepare.json").read_text())
  assert len(record["missing"]) == 649

  again = _run(*flags, "--allow_missing")
  assert f"\nalready prepared in {folder} " in again.stdout
  assert again.stderr == ""


@pytest.mark.parametrize(
  ("flags", "status", "words"),
  [
    (["--dataset=montgomery", "--raw_dir=nowhere"], 3, "nowhere"),
    (["--dataset=montgomery"], 2, "--raw_dir"),
    ([], 2, "--dataset=montgomery|shenzhen|jsrt|phantom"),
  ],
)
def test_mistakes_are_one_paragraph(tmp_path, flags, status, words):
  done = _run(*flags, f"--data_dir={tmp_path}")
  assert done.returncode == status
  assert words in done.stderr
  assert "Traceback" not in done.stderr
  assert not list(tmp_path.iterdir())


def test_phantoms_are_drawn_first(tmp_path):
  done = _run(
    "--dataset=phantom", f"--data_dir={tmp_path}", "--phantom_count=5",
    "--phantom_seed=3",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  assert "drawing phantoms: 5/5\n" in done.stderr
  assert "preparing phantom: 5/5\n" in done.stderr
  record = json.loads((tmp_path / "raw/phantom/phantom.json").read_text())
  assert (record["count"], record["seed"]) == (5, 3)
  assert len(list(tmp_path.glob("raw/phantom/*/CXR_png/*.png"))) == 5


def test_table_3_is_printed_from_the_public_lists(tmp_path):
  done = _run("--table3", f"--data_dir={tmp_path}")
  assert (done.returncode, done.stderr) == (0, "")
  rows = [line.split("│")[1:-1] for line in done.stdout.splitlines()]
  cells = [[cell.strip() for cell in row] for row in rows if len(row) == 8]
  assert cells == [
    ["montgomery", "138", "80", "58", "0", "93", "10", "35"],
    ["shenzhen", "527", "279", "248", "0", "355", "40", "132"],
    ["jsrt", "247", "93", "0", "154", "166", "19", "62"],
    ["ccx", "912", "452", "306", "154", "615", "69", "228"],
  ]
  assert not list(tmp_path.iterdir())
