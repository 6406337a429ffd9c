"""ONNX Runtime for browsers, from the npm registry.

The version and the SHA-512 of its package are stated here, so that a page
contains the same code wherever it is made.
"""

import base64
import hashlib
import io
import pathlib
import subprocess
import tarfile
import tempfile
from typing import NamedTuple

from apppau_jax.errors import DataError, DownloadError

PACKAGE = "onnxruntime-web@1.30.0"
INTEGRITY = (
  "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02V"
  "b7QmRMDs1SigqR4CXAfKYQ=="
)
_SECONDS = 600  # that npm may take
_MAX_BYTES = 64 * 1024 * 1024  # of the package, and of each of its files
_SCRIPT = "package/dist/ort.wasm.bundle.min.mjs"
_WASM = "package/dist/ort-wasm-simd-threaded.wasm"
_BY_HAND = (
  f"Fetch it elsewhere by `npm pack {PACKAGE}`, and give the file that this "
  "writes as --page_runtime=FILE."
)


class Runtime(NamedTuple):
  """The two files that compute a model in a browser.

  Attributes:
    script: a JavaScript module.
    wasm: the WebAssembly program that it runs.
  """

  script: bytes
  wasm: bytes


def fetch() -> Runtime:
  """Fetches the package by npm, which also knows the user's registry.

  Raises:
    DownloadError: npm is not installed, or cannot fetch the package.
    DataError: the registry has sent another package.
  """
  with tempfile.TemporaryDirectory() as folder:
    command = ["npm", "pack", PACKAGE, "--ignore-scripts", "--silent"]
    try:
      done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS
      )
    except FileNotFoundError as error:
      raise DownloadError(
        f"--page needs the package {PACKAGE}, and npm, which fetches it, is "
        f"not installed. Install npm (Debian: apt install npm). {_BY_HAND}"
      ) from error
    except subprocess.TimeoutExpired as error:
      raise DownloadError(
        f"npm did not fetch {PACKAGE} within {_SECONDS} seconds. {_BY_HAND}"
      ) from error
    found = [*pathlib.Path(folder).glob("*.tgz")]
    if done.returncode or len(found) != 1:
      said = " ".join((done.stderr + done.stdout).split())[:300]
      raise DownloadError(
        f"npm could not fetch {PACKAGE} (status {done.returncode}"
        f"{f': {said}' if said else ''}). Check the network and the registry "
        f"(`npm ping`). {_BY_HAND}"
      )
    return read(found[0])


def read(path: pathlib.Path, *, integrity: str = INTEGRITY) -> Runtime:
  """Reads the package from a file that `npm pack` has written.

  Args:
    path: of the file.
    integrity: SHA-512 that the file must have, as npm states it.

  Raises:
    DataError: it is another file, or none.
    OSError: it cannot be read.
  """
  if path.exists() and not path.is_file():  # a pipe would block
    raise DataError(f"{path} is not a file. {_BY_HAND}")
  with path.open("rb") as file:
    content = file.read(_MAX_BYTES + 1)
  digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
  if f"sha512-{digest}" != integrity:
    raise DataError(
      f"{path} is not {PACKAGE} of the npm registry: its SHA-512 is another "
      f"one. It is damaged or of another version. {_BY_HAND}"
    )
  with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as package:
    return Runtime(*(_member(package, name) for name in (_SCRIPT, _WASM)))


def _member(package: tarfile.TarFile, name: str) -> bytes:
  file = package.extractfile(name)
  if file is None:
    raise DataError(f"{PACKAGE} has no file {name}.")
  return file.read(_MAX_BYTES)
