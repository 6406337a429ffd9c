"""The page is one file, escapes all text, and shows thumbnails."""

import base64
import io
import re

import numpy as np
from PIL import Image

from apppau_jax.checks import findings, html_page


def _write(tmp_path, clean, found, title="set"):
  path = tmp_path / "verify.html"
  html_page.write(
    path, title=title, images=clean, findings=found, command="python -m x"
  )
  return path.read_text(encoding="utf-8")


def test_foreign_text_is_escaped_and_nothing_is_remote(tmp_path, clean):
  evil = "<script>alert(1)</script>"
  html = _write(tmp_path, clean, [findings.warning("text", evil, evil)], evil)
  assert "<script" not in html
  assert html.count("&lt;script&gt;") >= 3
  assert "default-src 'none'" in html
  assert not re.search(r"(src|href)=\"(?!data:image/png;base64,)", html)


def test_suspects_are_shown_with_their_outline(tmp_path, clean):
  name, other = clean[0].id, clean[1].id
  found = [
    findings.error("twins", "alike", name, other),
    findings.warning("counts", "absent", clean[2].id),
  ]
  html = _write(tmp_path, clean, found)
  pictures = re.findall(
    r'<img src="data:image/png;base64,([^"]+)" alt="(\S+)', html
  )
  assert [alt for _, alt in pictures] == [name, other]
  shown = Image.open(io.BytesIO(base64.b64decode(pictures[0][0])))
  pixels = np.asarray(shown.convert("RGB")).astype(int)
  blue = (np.abs(pixels - html_page.OUTLINE).max(axis=2) < 40).sum()
  assert blue > 200
  assert html == _write(tmp_path, clean, found)


def test_a_clean_set_has_a_page_that_says_so(tmp_path, clean):
  html = _write(tmp_path, clean, [])
  assert "All checks passed" in html
  assert "<img" not in html
