"""The documentation names only tests, files, commands and links that exist."""

import re
from pathlib import Path

import pytest
from fixtures import book

from apppau_jax import __version__

ROOT = Path(__file__).parents[1]
PAGES = sorted(
  [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("results/**/*.md"),
  ]
)
# Notes of the past keep the commands and options of their commit.
CURRENT = [p for p in PAGES if "archive" not in p.parts]
CURRENT.remove(ROOT / "CHANGELOG.md")


def _found(pattern, pages):
  """Every match of `pattern`, with the page that it is on."""
  pairs = {
    (page.relative_to(ROOT), found)
    for page in pages
    for found in re.findall(pattern, page.read_text(encoding="utf-8"))
  }
  assert pairs
  return sorted(pairs)


def _anchors(page):
  """Anchors of the headings of a page, as GitHub makes them."""
  text = re.sub(r"(?ms)^```.*?^```", "", page.read_text(encoding="utf-8"))
  titles = re.findall(r"(?m)^#+ (.+)$", text)
  kept = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
  return {title.replace(" ", "-") for title in kept}


def test_the_version_to_cite_is_that_of_the_package():
  cff = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
  page = (ROOT / "docs/start/cite.md").read_text(encoding="utf-8")
  assert re.findall(r"(?m)^version: (.+)$", cff) == [__version__]
  assert re.findall(r"version = \{(.+)\}", page) == [__version__]


def test_named_tests_exist():
  missing = []
  for page, (file, name) in _found(r"`([\w/]+_test\.py)::(test_\w+)", PAGES):
    path = ROOT / "tests" / file.removeprefix("tests/")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if not re.search(rf"(?m)^def {name}\(", text):
      missing.append(f"{page}: {file}::{name}")
  assert not missing, "\n".join(missing)


def test_no_number_within_a_sentence_starts_a_line():
  """Such as `4095. The message`: it would be read as an item of a list."""
  for page in PAGES:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?m)^ *\d\d+\. .*", text), page


def test_relative_links_lead_somewhere():
  broken = []
  for page, link in _found(r"\]\((?!https?:|mailto:)([^)\s]+)\)", PAGES):
    name, _, anchor = link.partition("#")
    target = (ROOT / page.parent / name).resolve() if name else ROOT / page
    inside = target.is_relative_to(ROOT) and target.exists()
    if not inside or (anchor and anchor not in _anchors(target)):
      broken.append(f"{page}: {link}")
  assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
  "pattern",
  [
    r"python -m ((?:launch|benchmarks)\.\w+)",
    r"`((?:launch|benchmarks)\.\w+)`",
    r"(configs/\w+\.py)",
    r"`((?:\w+/)+\w+\.(?:py|sh|c))`",
  ],
)
def test_named_commands_and_files_exist(pattern):
  missing = []
  for page, name in _found(pattern, CURRENT):
    path = name if "/" in name else name.replace(".", "/") + ".py"
    places = (ROOT, ROOT / "apppau_jax", ROOT / "tests")
    if "NAME" not in name and not any((p / path).exists() for p in places):
      missing.append(f"{page}: {name}")
  assert not missing, "\n".join(missing)


def test_quoted_examples_are_those_of_the_tests():
  blocks = [b for page in book.PAGES for b in book.blocks(page)]
  quoted = [b for b in blocks if b.mark.startswith("example: ")]
  assert len(quoted) >= 6
  for block in quoted:
    name = block.mark.removeprefix("example: ")
    text = (ROOT / name).read_text(encoding="utf-8")
    assert block.code in text, f"{block}: {name}"


def test_diffs_fit_the_files_that_they_change():
  """What a page would leave or remove is there: "+" and "..." are not."""
  wrong = []
  for page in sorted((ROOT / "docs").rglob("*.md")):
    text = page.read_text(encoding="utf-8")
    for diff in re.finditer(r"(?ms)^```diff\n(.*?)^```$", text):
      name = re.findall(r"`([\w/]+\.py)`", text[: diff.start()])[-1]
      there = (ROOT / name).read_text(encoding="utf-8").splitlines()
      wrong += [
        f"{page.name}, {name}: {line}"
        for line in diff[1].splitlines()
        if line[:1] in " -" and line != " ..." and line[1:] not in there
      ]
  assert not wrong, "\n".join(wrong)
