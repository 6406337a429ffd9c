"""Addresses that are accepted, and answers of servers that are not."""

import http.server
import json
import threading

import pydicom
import pytest

from apppau_jax.deploy import dicomweb
from apppau_jax.errors import ConfigError, DataError

STUDY = "1.2.826.1"


@pytest.mark.parametrize(
  "url",
  [
    "http://pacs.example/dicom-web",
    "http://10.0.0.7:8042/dicom-web",
    "http://localhost.example/dicom-web",
    "ftp://localhost/",
    "localhost/dicom-web",
    "",
  ],
)
def test_only_https_leaves_this_machine(url):
  with pytest.raises(ConfigError, match="https://"):
    dicomweb.Server(url)


def test_a_password_in_the_address_is_refused_and_not_shown():
  with pytest.raises(ConfigError, match="APPPAU_JAX_PACS_PASSWORD") as caught:
    dicomweb.Server("https://reader:hunter2@pacs.example/dicom-web")
  assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
  "url", ["https://pacs.example/dicom-web/", "http://[::1]:8042/dicom-web"]
)
def test_addresses_that_are_accepted(url):
  assert dicomweb.Server(url).url == url.rstrip("/")


def test_certificates_are_verified():
  assert dicomweb.Server("https://pacs.example/x")._client._session.verify


def test_credentials_are_read_from_the_environment():
  assert dicomweb.credentials({}) == {"user": None, "password": None}
  found = dicomweb.credentials(
    {"APPPAU_JAX_PACS_USER": "a", "APPPAU_JAX_PACS_PASSWORD": "b"}
  )
  assert found == {"user": "a", "password": "b"}


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers by what the test put into `server.answer`."""

  def do_GET(self):
    self._answer()

  def do_POST(self):
    self.rfile.read(int(self.headers["Content-Length"]))
    self._answer()

  def _answer(self):
    self.server.seen.append((self.path, self.headers.get("Authorization")))
    status, content = self.server.answer(self.path)
    self.send_response(status)
    self.send_header("Content-Type", "application/dicom+json")
    self.end_headers()
    self.wfile.write(content)

  def log_message(self, *args):
    pass


@pytest.fixture
def server():
  found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
  found.seen = []
  thread = threading.Thread(target=found.serve_forever)
  thread.start()
  yield found
  found.shutdown()
  thread.join()
  found.server_close()


def _client(server, **more):
  return dicomweb.Server(f"http://127.0.0.1:{server.server_port}/dw", **more)


def _json(*uids):
  return json.dumps(
    [
      {
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "0020000E": {"vr": "UI", "Value": [f"{STUDY}.1"]},
        "00080018": {"vr": "UI", "Value": [uid]},
      }
      for uid in uids
    ]
  ).encode()


@pytest.mark.parametrize("ignores_offset", [False, True])
def test_all_pages_are_read(server, ignores_offset):
  """Also of a server that does not know `offset` it asks no third time."""

  def answer(path):
    first = "offset=0" in path or ignores_offset
    return 200, _json("1.2.3", "1.2.4") if first else _json()

  server.answer = answer
  found = _client(server).instances(STUDY)
  assert [one.instance for one in found] == ["1.2.3", "1.2.4"]
  assert len(server.seen) == 2


def test_the_user_is_sent_and_nobody_else(server, tmp_path, monkeypatch):
  (tmp_path / "netrc").write_text("machine 127.0.0.1 login x password y\n")
  monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
  server.answer = lambda path: (200, b"[]")
  _client(server).series({"Modality": "CR"})
  _client(server, user="a", password="b").series({"Modality": "CR"})
  (path, nobody), (_, user) = server.seen
  assert "Modality=CR" in path
  assert (nobody, user) == (None, "Basic YTpi")


@pytest.mark.parametrize(
  ("status", "content", "error", "word"),
  [
    (401, b"", ConfigError, "password"),
    (403, b"", ConfigError, "may not"),
    (404, b"", ConfigError, "DICOMweb root"),
    (200, b"<html>", DataError, "not DICOMweb"),
    (200, b"[{}]", DataError, "not DICOMweb"),
    (200, _json("../../etc"), DataError, "not DICOMweb"),
  ],
)
def test_answers_of_no_use(server, status, content, error, word):
  server.answer = lambda path: (status, content)
  with pytest.raises(error, match=word):
    _client(server).instances(STUDY)


def test_a_film_that_the_server_cannot_send_costs_this_film(server):
  server.answer = lambda path: (404, b"")
  one = dicomweb.Instance(STUDY, f"{STUDY}.1", "1.2.3")
  with pytest.raises(DataError, match="404"):
    _client(server).fetch(one)


def test_refused_objects_are_counted(server):
  reply = {
    "00081198": {
      "vr": "SQ",
      "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}],
    }
  }
  server.answer = lambda path: (200, json.dumps(reply).encode())
  thing = pydicom.Dataset()
  thing.SOPInstanceUID = "1.2.3"
  thing.file_meta = pydicom.dataset.FileMetaDataset()
  thing.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
  with pytest.raises(DataError, match=r"refused 1 of 1.*A700"):
    _client(server).store([thing])


def test_a_server_that_is_not_there():
  with pytest.raises(ConfigError, match="cannot be reached"):
    dicomweb.Server("http://127.0.0.1:9/dw").series({})
