"""What MkDocs does besides its plugins when it builds the site.

- The folder results/, CONTRIBUTING.md and CHANGELOG.md become pages, without a
  copy of them in docs/.
- `<!-- generated: NAME -->` is replaced by a part of docs/generated.py.
- Links to files that are no pages, such as source files, become their text.
- The notebook is offered as .ipynb too, and llms.txt lists all pages.
- The build fails if a page would make a request to another host.
"""

import pathlib
import posixpath
import re
import sys
import urllib.parse

import jupytext
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
import generated  # noqa: E402

_OTHERS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
# The weight of a page in the search: what to do comes before old notes.
_BOOSTS = {
  **dict.fromkeys(("how_to/", "dicom.md", "export.md"), 2),
  "results/archive/": 0.25,
  "results/": 0.5,
}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
_REQUEST = re.compile(
  r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//"""
  r"""|<link\b(?=[^>]*rel=["'](?:stylesheet|preconnect|preload|icon))"""
  r"""[^>]*href=["'](?:https?:)?//|url\(["']?(?:https?:)?//"""
)


def _source(uri: str) -> str:
  """Return the path in the repository of a page of the site."""
  names = {page: source for source, page in _OTHERS.items()}
  return names.get(uri, uri if uri.startswith("results/") else f"docs/{uri}")


def _page(source: str) -> str | None:
  """Return the page of the site that shows a file, None if there is none."""
  if source in _OTHERS:
    return _OTHERS[source]
  if source == "README.md":
    return "index.md"
  if source.startswith("results/"):
    return source
  return source.removeprefix("docs/") if source.startswith("docs/") else None


def on_files(files, config):
  """Add the pages whose files are outside of docs/."""
  others = [*_OTHERS, *(ROOT / "results").rglob("*.md")]
  for path in others:
    source = (ROOT / path).relative_to(ROOT).as_posix()
    file = File.generated(
      config, _page(source), abs_src_path=str(ROOT / source)
    )
    files.append(file)
  for path in sorted((ROOT / "docs" / "notebooks").glob("*.md")):
    text = jupytext.writes(jupytext.read(path), fmt="ipynb")
    name = f"notebooks/{path.stem}.ipynb"
    files.append(File.generated(config, name, content=text))
  return files


def on_page_markdown(markdown, page, config, files):
  """Insert the generated parts, adapt the links, weigh the page for search."""
  page.meta["search"] = {"boost": boost(page.file.src_uri)}
  pages = {file.src_uri for file in files}
  text = adapt_links(markdown, uri=page.file.src_uri, pages=pages)
  return re.sub(
    r"<!-- generated: (\w+) -->", lambda m: generated.PARTS[m[1]](), text
  )


def boost(uri: str) -> float:
  """Return the weight of a page in the search."""
  return next((_BOOSTS[part] for part in _BOOSTS if uri.startswith(part)), 1)


def adapt_links(markdown: str, *, uri: str, pages: set[str]) -> str:
  """Return a page whose links between files lead to pages of the site.

  Args:
    markdown: the page as it is in the repository.
    uri: its path in the site.
    pages: the paths of all files of the site.
  """
  folder = posixpath.dirname(_source(uri))

  def link(found: re.Match) -> str:
    path, hash_, anchor = found[3].partition("#")
    if not path:
      return found[0]
    path = posixpath.normpath(posixpath.join(folder, path))
    target = _page(path)
    if target not in pages:  # no page; what does not exist MkDocs reports
      return found[2] if (ROOT / path).exists() else found[0]
    relative = posixpath.relpath(target, posixpath.dirname(uri) or ".")
    return f"{found[1]}[{found[2]}]({relative}{hash_}{anchor})"

  parts = _FENCE.split(markdown)
  parts[::2] = (_LINK.sub(link, part) for part in parts[::2])
  return "".join(parts)


def on_post_build(config):
  """Look for requests to other hosts."""
  site = pathlib.Path(config.site_dir)
  bad = [
    f"{path.relative_to(site)}: {found[0][:200]}"
    for path in sorted(site.rglob("*"))
    if path.suffix in (".html", ".css")
    for found in [_REQUEST.search(path.read_text(encoding="utf-8"))]
    if found
  ]
  if bad:
    raise PluginError("Pages make requests to other hosts:\n" + "\n".join(bad))


def on_env(env, config, files):
  """Write llms.txt: the navigation as a list with a line for each page."""
  lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
  for section in config["nav"]:
    for title, items in section.items():
      lines += [f"## {title}", ""]
      lines += [*_entries(items, files), ""]
  path = pathlib.Path(config.site_dir) / "llms.txt"
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("\n".join(lines), encoding="utf-8")
  return env


def _entries(items, files):
  """Yield a line for each page of a part of the navigation."""
  for item in [items] if isinstance(items, str) else items:
    for title, target in (
      item.items() if isinstance(item, dict) else [(None, item)]
    ):
      if not isinstance(target, str):
        yield from _entries(target, files)
        continue
      page = files.get_file_from_path(target).page
      about = _first_sentence(page.markdown)
      url = urllib.parse.quote(page.file.url)
      yield f"- [{title or page.title}]({url}){about and f': {about}'}"


def _first_sentence(markdown: str) -> str:
  """Return the first sentence of a page's first paragraph of prose."""
  for part in markdown.split("\n\n"):
    words = " ".join(part.split())
    if words[:1].isalpha() or words[:1] in "*[`":
      words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words)
      return re.split(r"(?<=[.!?:]) ", words)[0].rstrip(":")
  return ""
