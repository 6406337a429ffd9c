"""Every block of code in README and the documentation runs, or says why not."""

import os
import pathlib
import re

import pytest
from fixtures import book

BLOCKS = {page: book.blocks(page) for page in book.PAGES}
EVERY = [block for blocks in BLOCKS.values() for block in blocks]
TO_RUN = {
  blocks[0].page: [
    b for b in blocks if b.language in book.LANGUAGES and b.is_run
  ]
  for blocks in BLOCKS.values()
  if any(b.language in book.LANGUAGES and b.is_run for b in blocks)
}
FAST = [b for b in EVERY if b.mark == "fast"]
BAD_KEY = "--config.train.epoch=3"
MARK = re.compile(r"not run: \w.{9,}|fast|example: tests/\w+/\w+_test\.py")


def test_blocks_are_found_with_their_marks(tmp_path, monkeypatch):
  monkeypatch.setattr(book, "ROOT", tmp_path)
  page = tmp_path / "page.md"
  page.write_text(
    "# T\n\n<!-- not run: needs a pod -->\n```sh\na \\\n  b\n```\n\n"
    "??? note\n\n    ```python\n    if x:\n      y\n    ```\n"
  )
  first, second = book.blocks(page)
  assert (first.code, first.mark) == ("a \\\n  b\n", "not run: needs a pod")
  assert (second.code, second.mark) == ("if x:\n  y\n", "")
  assert not first.is_run
  assert second.is_run


def test_every_block_has_a_language_and_a_known_mark():
  wrong = [str(b) for b in EVERY if b.mark and not MARK.fullmatch(b.mark)]
  known = {*book.LANGUAGES, *book.SHOWN}
  wrong += [f"{b}: {b.language}" for b in EVERY if b.language not in known]
  assert not wrong, "\n".join(wrong)


def test_python_blocks_can_be_compiled():
  for block in EVERY:
    if block.language == "python":
      compile(block.code, str(block), "exec")


def test_the_flags_of_every_command_exist():
  """One child process reads them all, and three wrong ones to be noticed."""
  wrong = [
    ("wrong 1", ["launch.train", "--config=configs/phantom.py:quick", BAD_KEY]),
    ("wrong 2", ["launch.predict", "--inputs=x"]),
    ("wrong 3", ["launch.train", "--config=configs/baselines.py:nme=x"]),
  ]
  found = [
    (str(block), words)
    for block in EVERY
    if block.language == "sh"
    for words in book.commands(block.code)
  ]
  assert len(found) > 50
  faults = book.faults_of_flags([*wrong, *found])
  places = {fault.split(":")[0] for fault in faults}
  assert places == {place for place, _ in wrong}, "\n".join(faults)


@pytest.mark.parametrize("block", FAST, ids=str)
def test_fast_blocks(block, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  exec(compile(block.code, str(block), "exec"), {"__name__": "__main__"})  # noqa: S102


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
  """A folder `data` that all pages share: phantoms are drawn once."""
  return tmp_path_factory.mktemp("book_data")


@pytest.fixture
def environment():
  """One CPU device and the tree that is tested."""
  path = os.pathsep.join([str(book.ROOT), os.environ.get("PYTHONPATH", "")])
  return {
    **os.environ,
    "JAX_NUM_CPU_DEVICES": "1",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "MPLBACKEND": "agg",
    "PYTHONPATH": path,
  }


def _folder(tmp_path: pathlib.Path, data: pathlib.Path) -> pathlib.Path:
  """A folder as a reader's checkout, but for what was written there."""
  for name in ("configs", "docs", "launch"):
    (tmp_path / name).symlink_to(book.ROOT / name)
  (tmp_path / "data").symlink_to(data)
  return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", TO_RUN)
def test_the_blocks_of_a_page_run_in_order(
  page, tmp_path, prepared, environment
):
  folder = _folder(tmp_path, prepared)
  outputs = book.run(TO_RUN[page], folder=folder, env=environment)
  if page == "README.md":
    printed = [
      o for o, b in zip(outputs, TO_RUN[page]) if b.language == "python"
    ]
    trained, predicted, budget = printed[0].splitlines()
    assert 0.6 < float(trained) <= 1.0
    assert 0.6 < float(predicted) <= 1.0
    assert budget.endswith("14 of 135")  # a tenth, rounded up
  if page == "docs/start/ten_minutes.md":
    _every_file_is_documented(folder / "runs/quick")


def _every_file_is_documented(run: pathlib.Path) -> None:
  text = (book.ROOT / "docs/reference/run_folder.md").read_text("utf-8")
  names = re.findall(r"`([\w.*/]+)`", text.replace("PART", "*"))
  files = [p.relative_to(run) for p in run.rglob("*") if p.is_file()]
  missing = [
    str(file)
    for file in files
    if not any(file.match(name.rstrip("/")) for name in names)
    and not any(file.is_relative_to(n) for n in names if n.endswith("/"))
  ]
  assert not missing, missing


def test_the_notebook_has_the_blocks_of_its_page():
  """As a page they are run by the test above; see also docs/hooks.py."""
  jupytext = pytest.importorskip("jupytext")
  pages = sorted((book.ROOT / "docs/notebooks").glob("*.md"))
  assert pages
  for page in pages:
    cells = jupytext.read(page).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    assert code == [b.code.rstrip("\n") for b in book.blocks(page)]
