"""How the page is written, and how ONNX Runtime for browsers is found."""

import base64
import gzip
import hashlib
import io
import itertools
import json
import os
import re
import stat
import tarfile

import pytest
from fixtures import tiny_models

from apppau_jax.deploy import page_facts, page_runtime, page_writer
from apppau_jax.deploy.model_card import Card
from apppau_jax.deploy.page_runtime import Runtime
from apppau_jax.errors import ConfigError, DataError, DownloadError
from apppau_jax.inference.prediction_table import Columns

pytest.importorskip("onnx")

RUNTIME = Runtime(script=b"export const env = {};", wasm=b"\0asm")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("page")
  card = Card(
    training=[("data", "<b>montgomery</b>")],
    metrics=[("dice", "14", "0.972", "0.965 to 0.978")],
    notes=["One note."],
    terms=[("montgomery", "Attribute.", "Jaeger 2014")],
  )
  page_writer.write(
    tiny_models.ensemble(), path, RUNTIME, version="0.0", card=card
  )
  return path


@pytest.fixture(scope="module")
def page(folder):
  return (folder / "index.html").read_text()


def _embedded(page, name):
  found = re.search(rf'id="data-{name}">([^<]*)</script>', page)
  return gzip.decompress(base64.b64decode(found[1]))


def test_everything_is_inside(page, folder):
  import onnxruntime

  assert _embedded(page, "wasm") == RUNTIME.wasm
  assert _embedded(page, "runtime") == RUNTIME.script
  session = onnxruntime.InferenceSession(_embedded(page, "model"))
  assert [one.name for one in session.get_inputs()] == ["image"]
  assert hashlib.sha256(_embedded(page, "model")).hexdigest() in page
  assert {p.name for p in folder.iterdir()} == {"index.html", "README.md"}


def test_nothing_is_fetched_and_no_foreign_script_runs(page):
  policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
  rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
  assert rules["default-src"] == "'none'"
  assert "connect-src" not in rules
  (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
  (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
  for rule, source in (("style-src", style), ("script-src", script)):
    digest = hashlib.sha256(source.encode()).digest()
    assert f"'sha256-{base64.b64encode(digest).decode()}'" in rules[rule]
    assert "unsafe-inline" not in rules[rule]
  assert "http" not in re.sub(r"http-equiv", "", page[: page.index("data-")])
  assert not re.search(r"\s(src|style|on\w+)=", page)


def test_facts_are_those_of_the_package(page):
  facts = json.loads(_embedded(page, "facts"))
  columns = Columns(
    structures=("left_lung", "right_lung"), class_names=("normal", "tb")
  )
  assert [*itertools.chain(*facts["columns"])] == columns.header()
  assert facts["threshold"] == 0.4
  assert facts["largest_components"] == 1
  assert facts["rules"]["view"] == page_facts.rules()["view"]


def test_the_card_is_shown_and_no_markup(page):
  assert "For research only; not a medical device" in page
  assert "0.965 to 0.978" in page
  assert "&lt;b&gt;montgomery" in page
  assert "<b>montgomery" not in page


def test_names_of_classes_are_text(page):
  hostile = ["</script><script>x()</script>", "<img src=x onerror=y()>"]
  facts = json.loads(_embedded(page, "facts"))
  made = page_writer.render(
    facts={**facts, "classes": hostile, "mask_names": hostile},
    data={"model": b"", "runtime": b"", "wasm": b""},
    about={
      "card": Card(), "limits": hostile, "sha256": "0" * 64,
      "version": hostile[0], "runtime": "r",
    },
  )  # fmt: skip
  tags = re.compile(r"<(script|img)\b")
  assert tags.findall(made) == tags.findall(page)
  assert "&lt;img src=x onerror=y()&gt;" in made
  assert json.loads(_embedded(made, "facts"))["classes"] == hostile


def test_an_older_page_is_replaced_and_other_files_are_not(folder, tmp_path):
  page_writer.check(folder)
  page_writer.check(tmp_path / "new")
  (tmp_path / "index.html").write_text("<h1>Mine</h1>")
  with pytest.raises(ConfigError, match="not a page"):
    page_writer.check(tmp_path)
  with pytest.raises(ConfigError, match="is a file"):
    page_writer.check(tmp_path / "index.html")


def _package(path, names=("ort.wasm.bundle.min.mjs",)):
  """A package with these files of dist, and its integrity."""
  with tarfile.open(path, "w:gz") as package:
    for name in (*names, "ort-wasm-simd-threaded.wasm"):
      info = tarfile.TarInfo(f"package/dist/{name}")
      info.size = len(name)
      package.addfile(info, io.BytesIO(name.encode()))
  digest = hashlib.sha512(path.read_bytes()).digest()
  return f"sha512-{base64.b64encode(digest).decode()}"


def test_a_package_is_read_if_it_is_the_one_that_is_stated(tmp_path):
  path = tmp_path / "ort.tgz"
  integrity = _package(path)
  found = page_runtime.read(path, integrity=integrity)
  assert found.script == b"ort.wasm.bundle.min.mjs"
  assert found.wasm == b"ort-wasm-simd-threaded.wasm"
  with pytest.raises(DataError, match=r"SHA-512.*npm pack onnxruntime-web@"):
    page_runtime.read(path)


def test_a_pipe_for_a_package_does_not_block(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  with pytest.raises(DataError, match="pipe is not a file"):
    page_runtime.read(tmp_path / "pipe")


@pytest.fixture
def npm(tmp_path, monkeypatch):
  """Puts a script in the place of npm; without one npm is absent."""
  monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

  def put(script):
    path = tmp_path / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)

  return put


def test_npm_fetches_the_stated_version(npm, tmp_path, monkeypatch):
  package = tmp_path / "package.tgz"
  integrity = _package(package)
  npm(f'echo "$@" > {tmp_path}/said; cp {package} onnxruntime-web.tgz')
  read = page_runtime.read
  monkeypatch.setattr(
    page_runtime, "read", lambda path: read(path, integrity=integrity)
  )
  assert page_runtime.fetch().wasm
  said = (tmp_path / "said").read_text().split()
  assert said[:2] == ["pack", page_runtime.PACKAGE]


def test_npm_that_is_offline_or_absent_has_a_status_of_its_own(
  npm, tmp_path, monkeypatch
):
  npm("echo ENOTFOUND registry >&2; exit 1")
  with pytest.raises(
    DownloadError, match=r"ENOTFOUND.*--page_runtime"
  ) as error:
    page_runtime.fetch()
  assert error.value.exit_code == 7
  os.remove(tmp_path / "npm")
  monkeypatch.setenv("PATH", str(tmp_path))
  with pytest.raises(DownloadError, match=r"npm.*not installed"):
    page_runtime.fetch()


@pytest.mark.parametrize("modules", [page_writer.VIEW, page_writer.WORKER])
def test_no_two_modules_of_a_script_declare_one_name(modules):
  """They share one scope, where a second function replaces the first."""
  names = re.findall(
    r"^(?:async )?(?:function|class|const|let) (\w+)",
    page_writer.script(modules),
    flags=re.MULTILINE,
  )
  assert len(names) > 20
  assert sorted(names) == sorted({*names})
