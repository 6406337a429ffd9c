import os
import stat
import zipfile
import zlib

import pytest

from apppau_jax.datasets import raw_index, registry, zip_members
from apppau_jax.datasets.raw_source import RawSource
from apppau_jax.errors import DataError


def _write(path, content=b"x"):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)


def test_finds_by_folder_and_name_at_any_depth(tmp_path):
  _write(tmp_path / "a/MontgomerySet/CXR_png/M.png", b"image")
  _write(tmp_path / "a/MontgomerySet/leftMask/M.png", b"left!")
  for root in (tmp_path, tmp_path / "a", tmp_path / "a/MontgomerySet"):
    with RawSource(root) as source:
      assert source.names() == ["M.png"]
      assert source.read(source.find("M.png", "leftMask")) == b"left!"
      assert source.read(source.find("M.png", "x", "CXR_png")) == b"image"
      assert source.find("M.png", "rightMask") is None
      assert source.find("N.png") is None


def test_junk_is_not_listed(tmp_path):
  for name in (
    "Thumbs.db", ".DS_Store", "._M.png", "__MACOSX/M.png", ".git/M.png",
    "read.pdf",
  ):  # fmt: skip
    _write(tmp_path / name)
  os.mkfifo(tmp_path / "pipe.png")
  (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere.png")
  (tmp_path / "folder.png").mkdir()
  with RawSource(tmp_path) as source:
    assert source.names() == []


def test_links_are_followed_and_loops_end(tmp_path):
  _write(tmp_path / "elsewhere/CXR_png/M.png", b"linked")
  (tmp_path / "raw").mkdir()
  (tmp_path / "raw/Set").symlink_to(tmp_path / "elsewhere")
  (tmp_path / "raw/loop").symlink_to(tmp_path / "raw")
  with RawSource(tmp_path / "raw") as source:
    key = source.find("M.png", "CXR_png")
    assert (source.describe(key), source.read(key)) == (
      "Set/CXR_png/M.png", b"linked",
    )  # fmt: skip


def test_links_to_each_other_end(tmp_path):
  for one, two in (("a", "b"), ("b", "a")):
    _write(tmp_path / f"{one}/{one}.png")
    (tmp_path / f"{one}/{two}").symlink_to(tmp_path / two)
  with RawSource(tmp_path) as source:
    assert source.all_keys() == [
      *("::a/a.png", "::a/b/b.png", "::b/a/a.png", "::b/b.png")
    ]


def test_folders_far_below_are_searched_or_refused(tmp_path):
  deep = "/".join(map(str, range(32)))
  _write(tmp_path / deep / "near.png")
  with RawSource(tmp_path) as source:
    assert source.names() == ["near.png"]
  _write(tmp_path / deep / "32/far.png")
  with pytest.raises(DataError, match=r"31/32 lies more than 32 folders"):
    RawSource(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
  _write(tmp_path / "a/x.png")
  _write(tmp_path / "b/x.png")
  scandir = os.scandir

  def refusing(path):
    if str(path).endswith("/b"):
      raise PermissionError(13, "Permission denied", str(path))
    return scandir(path)

  monkeypatch.setattr(os, "scandir", refusing)
  with pytest.raises(DataError, match=r"/b cannot be listed: Permission"):
    RawSource(tmp_path)


@pytest.fixture
def make_zip(tmp_path):
  def make(*members: tuple[str, bytes], name="set.zip", mode=0o644):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
      for member, content in members:
        info = zipfile.ZipInfo(member)
        info.external_attr = mode << 16
        info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, content)
    return path

  return make


def test_zip_alone_and_zip_in_a_folder(make_zip, tmp_path):
  path = make_zip(
    ("Set/CXR_png/M.png", b"zipped"),
    ("Set/CXR_png/Thumbs.db", b"junk"),
    ("__MACOSX/Set/CXR_png/M.png", b"junk"),
  )
  for root in (path, tmp_path):
    with RawSource(root) as source:
      assert source.names() == ["M.png"]
      key = source.find("M.png", "CXR_png")
      assert source.read(key) == b"zipped"
      assert source.describe(key) == "set.zip: Set/CXR_png/M.png"


def test_of_equal_copies_the_plain_one_with_the_shortest_path(
  make_zip, tmp_path
):
  make_zip(("CXR_png/M.png", b"same"))
  _write(tmp_path / "copy/old/CXR_png/M.png", b"same")
  _write(tmp_path / "z/CXR_png/M.png", b"same")
  with RawSource(tmp_path) as source:
    key = source.find("M.png", "CXR_png")
    assert source.describe(key) == "z/CXR_png/M.png"


@pytest.mark.parametrize("content", [b"0ther", b"longer"])
def test_of_two_that_differ_none_is_taken(make_zip, tmp_path, content):
  make_zip(("CXR_png/M.png", content))
  _write(tmp_path / "z/CXR_png/M.png", b"other")
  with RawSource(tmp_path) as source:
    with pytest.raises(
      DataError,
      match=r"z/CXR_png/M\.png and set\.zip: CXR_png/M\.png",
    ):
      source.find("M.png", "CXR_png")
    assert source.find("M.png", "masks") is None


def test_missing_root_is_named_and_not_created(tmp_path):
  with pytest.raises(DataError, match=r"nowhere .*--raw_dir"):
    RawSource(tmp_path / "nowhere")
  assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("in_folder", [True, False])
def test_truncated_zip_is_named_and_kept(make_zip, tmp_path, in_folder):
  path = make_zip(("CXR_png/M.png", os.urandom(5000)))
  path.write_bytes(path.read_bytes()[:3000])
  with pytest.raises(DataError, match=r"set\.zip \(3,000 bytes\)"):
    RawSource(tmp_path if in_folder else path)
  assert path.stat().st_size == 3000


@pytest.mark.parametrize(
  "member", ["../../evil.png", "/etc/evil.png", "a/../../evil.png"]
)
def test_members_that_lead_out_are_refused(make_zip, member):
  with pytest.raises(DataError, match=r"png'.*leads out of the archive"):
    RawSource(make_zip((member, b"x")))


def test_backslashes_of_a_broken_zip_are_told(make_zip):
  with pytest.raises(DataError, match=r"backslashes"):
    RawSource(make_zip(("CXR_png\\M.png", b"x")))


def test_small_and_capital_letters_are_one(tmp_path):
  _write(tmp_path / "cxr_PNG/M.PNG", b"capital")
  with RawSource(tmp_path) as source:
    assert source.read(source.find("M.png", "CXR_png")) == b"capital"
    assert source.names() == ["M.PNG"]
  _write(tmp_path / "cxr_PNG/deeper/CXR_png/M.png", b"as it stands")
  with RawSource(tmp_path) as source:
    assert source.read(source.find("M.png", "CXR_png")) == b"as it stands"
    assert source.names() == ["M.PNG", "M.png"]


def test_any_suffix_and_what_lies_below(make_zip, tmp_path):
  make_zip(("1.2.3", b"top"), ("deep/b", b"x"), name="images.zip")
  _write(tmp_path / "Images/a")
  _write(tmp_path / "Images/more/c.txt")
  _write(tmp_path / "other/images.txt")
  _write(tmp_path / "Images/desktop.ini")
  with RawSource(tmp_path) as source:
    assert "::Images/more/c.txt" in source.all_keys()
  with RawSource(tmp_path, suffixes=None) as source:
    keys = {key.rpartition("/")[2] for key in source.all_keys()}
    assert source.head("::Images/a", size=2) == source.read("::Images/a")[:2]
    assert source.find("::Images/a") == "::Images/a"
  assert keys == {
    "a", "c.txt", "images.txt", "images.zip::1.2.3", "b"
  }  # fmt: skip


def test_checksums_are_those_of_the_contents(make_zip, tmp_path):
  for content in (b"1", os.urandom(3_000_000)):
    _write(tmp_path / "plain/M.png", content)
    with RawSource(tmp_path / "plain") as source:
      assert source.crc32(source.find("M.png")) == zlib.crc32(content)
    with RawSource(make_zip(("M.png", os.urandom(9) + content))) as source:
      key = source.find("M.png")
      assert source.crc32(key) == zlib.crc32(source.read(key))


def test_link_members_are_refused(make_zip):
  with pytest.raises(DataError, match="it is a link"):
    RawSource(make_zip(("M.png", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777))


def test_zip_bombs_are_refused_before_they_are_unpacked(make_zip, monkeypatch):
  path = make_zip(("M.png", bytes(3_000_000)))
  with pytest.raises(DataError, match="far more than"):
    RawSource(path)
  monkeypatch.setattr(zip_members, "MAX_BYTES", 1000)
  with pytest.raises(DataError, match="unpacks to 3,000,000 bytes"):
    RawSource(path)


def test_damaged_member_is_named(make_zip):
  path = make_zip(("CXR_png/M.png", os.urandom(5000)))
  content = bytearray(path.read_bytes())
  content[2000] ^= 0xFF
  path.write_bytes(content)
  with (
    RawSource(path) as source,
    pytest.raises(DataError, match=r"set\.zip: CXR_png/M\.png cannot be read"),
  ):
    source.read(source.find("M.png"))


def test_file_that_vanishes_is_named(tmp_path):
  _write(tmp_path / "M.png")
  with RawSource(tmp_path) as source:
    (tmp_path / "M.png").unlink()
    with pytest.raises(DataError, match=r"M\.png cannot be read"):
      source.read(source.find("M.png"))


@pytest.mark.parametrize(
  ("dataset", "file", "says"),
  [
    ("shenzhen", "images/images/CHNCXR_0001_0.png", r"images/images/ \(1\).*"
     r"called CXR_png"),
    ("montgomery", "MCUCXR_0001_0.png", r"\./ \(1\).*called CXR_png"),
    ("jsrt", "JPCLN001.png", r"\./ \(1\).*called images or All247images"),
    ("jsrt", "notes/JPCLN001.txt", r"Check --raw_dir"),
  ],
)  # fmt: skip
def test_images_in_another_folder_are_named(tmp_path, dataset, file, says):
  """Mirrors of the public sets rename their folders."""
  _write(tmp_path / file, b"x")
  spec = registry.DATASETS[dataset]
  with spec.open(tmp_path) as source, pytest.raises(DataError, match=says):
    raw_index.index_complete(source, spec, allow_missing=True)


def _patched(path, signature, offset, value):
  """Sets a byte of a zip's header, counted from its signature."""
  content = bytearray(path.read_bytes())
  content[content.find(signature) + offset] = value
  path.write_bytes(bytes(content))


@pytest.mark.parametrize(
  ("kind", "signature", "offset", "value"),
  [
    (zipfile.ZIP_STORED, b"PK\1\2", 6, 99),  # version needed to extract
    (zipfile.ZIP_STORED, b"PK\1\2", 10, 97),  # method of compression
    (zipfile.ZIP_LZMA, b"PK\3\4", 30 + 5 + 4, 0xFF),  # properties of LZMA
    (zipfile.ZIP_BZIP2, b"PK\3\4", 30 + 5, 0),
  ],
)
def test_whatever_a_decoder_raises_names_the_zip(
  tmp_path, kind, signature, offset, value
):
  path = tmp_path / "set.zip"
  with zipfile.ZipFile(path, "w", kind) as archive:
    archive.writestr("M.png", b"image" * 100)
  _patched(path, signature, offset, value)
  with (
    pytest.raises(DataError, match=r"set\.zip"),
    RawSource(path) as source,
  ):
    source.read(source.find("M.png"))


def test_members_without_a_name_are_left_out(tmp_path):
  path = tmp_path / "set.zip"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("M.png", b"image")
    archive.writestr(zipfile.ZipInfo("\0"), b"nothing")
  with RawSource(path, suffixes=None) as source:
    assert source.names() == ["M.png"]


def test_two_members_of_one_name_are_refused_if_they_differ(tmp_path):
  path = tmp_path / "set.zip"
  for second in (b"same", b"other"):
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("M.png", b"same")
      with pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("M.png", second)
    if second == b"same":
      with RawSource(path) as source:
        assert source.read(source.find("M.png")) == b"same"
    else:
      with pytest.raises(DataError, match=r"'M\.png'"):
        RawSource(path)
