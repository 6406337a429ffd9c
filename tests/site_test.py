"""What docs/hooks.py adds to MkDocs; the site itself is built by .ci/run."""

import importlib.util

import pytest
from fixtures import book


@pytest.fixture(scope="module")
def hooks():
  pytest.importorskip("mkdocs")
  pytest.importorskip("jupytext")
  spec = importlib.util.spec_from_file_location(
    "hooks", book.ROOT / "docs/hooks.py"
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


PAGES = {"index.md", "data.md", "how_to/train.md", "results/README.md"}


@pytest.mark.parametrize(
  ("uri", "link", "expected"),
  [
    ("how_to/train.md", "[d](../data.md#splits)", "[d](../data.md#splits)"),
    (
      "how_to/train.md",
      "[r](../../results/README.md)",
      "[r](../results/README.md)",
    ),
    ("results/README.md", "[d](../docs/data.md)", "[d](../data.md)"),
    ("data.md", "[readme](../README.md)", "[readme](index.md)"),
    ("data.md", "[code](../setup.py)", "code"),
    ("data.md", "[none](../nowhere.md)", "[none](../nowhere.md)"),
    ("data.md", "[web](https://example.org/a)", "[web](https://example.org/a)"),
    ("data.md", "[here](#splits)", "[here](#splits)"),
    ("data.md", "```\n[d](../setup.py)\n```", "```\n[d](../setup.py)\n```"),
  ],
)
def test_links_lead_to_pages(hooks, uri, link, expected):
  assert hooks.adapt_links(link, uri=uri, pages=PAGES) == expected


def test_guides_are_found_before_old_notes(hooks):
  pages = ("how_to/tables.md", "data.md", "results/box.md")
  weights = [hooks.boost(uri) for uri in (*pages, "results/archive/tables.md")]
  assert weights == sorted({*weights}, reverse=True)


@pytest.mark.parametrize(
  "html",
  [
    '<script async src="https://unpkg.com/x"></script>',
    '<link rel="stylesheet" href="//fonts.example/css">',
    '<link href="https://fonts.example" rel="preconnect">',
    '<img alt="" src="http://example.org/a.png">',
    "@font-face { src: url(https://fonts.example/a.woff2) }",
  ],
)
def test_requests_are_noticed(hooks, html):
  assert hooks._REQUEST.search(html)


@pytest.mark.parametrize(
  "html",
  [
    '<a href="https://arxiv.org/abs/1908.03693">paper</a>',
    '<img src="images/wide.png">',
    '<link rel="stylesheet" href="assets/site.css">',
  ],
)
def test_links_to_click_are_no_requests(hooks, html):
  assert not hooks._REQUEST.search(html)


def test_the_first_sentence(hooks):
  text = "# Title\n\n<!-- x -->\n\nOne [page](a.md) says: it.\nTwo."
  assert hooks._first_sentence(text) == "One page says"
