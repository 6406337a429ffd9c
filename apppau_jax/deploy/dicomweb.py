"""A DICOMweb server: search (QIDO-RS), fetch (WADO-RS) and store (STOW-RS)."""

import contextlib
import ipaddress
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient

from apppau_jax.errors import ConfigError, DataError, UserError

_SECONDS = (20, 120)  # to connect, and between two packets
_WHOLE = 2**31 - 1  # bytes of a message that is sent at once
# Some leave out the rule on leading zeros. It must be safe within a path.
_UID = re.compile(r"\d[\d.]{,63}")
_SERIES, _INSTANCE = "0020000E", "00080018"
_STUDY = "0020000D"


USER, PASSWORD = "APPPAU_JAX_PACS_USER", "APPPAU_JAX_PACS_PASSWORD"


class Instance(NamedTuple):
  """The UIDs of an object on the server."""

  study: str
  series: str
  instance: str


class Server:
  """A DICOMweb server.

  Args:
    url: of its DICOMweb root. It must be https, whose certificate is verified,
      but for a server on this machine.
    user: name, sent with each request; None for none.
    password: of the user.

  Raises:
    ConfigError: the URL cannot be used.
  """

  def __init__(
    self, url: str, *, user: str | None = None, password: str | None = None
  ):
    self.url = _checked(url)
    session = requests.Session()
    # Without a user: nothing, where requests would look into ~/.netrc.
    session.auth = (user, password or "") if user else _unchanged
    # In one piece, since not every server takes requests in chunks.
    self._client = DICOMwebClient(
      self.url,
      session=session,
      timeout=_SECONDS,
      chunk_size=_WHOLE,
      permissive_uid=True,  # `_value` has its own rule
    )
    self._client.set_http_retry_params(retry=False)

  def series(self, filters: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the UIDs of study and series of all series that match.

    Args:
      filters: values by keyword, as QIDO-RS takes them.
    """

    def page(offset: int) -> list[tuple[str, str]]:
      found = self._client.search_for_series(
        search_filters=dict(filters), offset=offset
      )
      return [(_value(one, _STUDY), _value(one, _SERIES)) for one in found]

    with _explained(self.url):
      return _pages(page)

  def instances(self, study: str) -> list[Instance]:
    """Returns all objects of a study."""

    def page(offset: int) -> list[Instance]:
      found = self._client.search_for_instances(study, offset=offset)
      return [
        Instance(study, _value(one, _SERIES), _value(one, _INSTANCE))
        for one in found
      ]

    with _explained(self.url):
      return _pages(page)

  def fetch(self, instance: Instance) -> pydicom.Dataset:
    """Returns an object as the server stores it.

    Raises:
      DataError: the server sent another one.
    """
    with _explained(self.url, refused=DataError):
      found = self._client.retrieve_instance(
        *instance, media_types=(("application/dicom", "*"),)
      )
    if found.get("SOPInstanceUID") != instance.instance:
      raise DataError(
        f"{self.url} sent another object than {instance.instance}, which was "
        "asked for. Check the server."
      )
    return found

  def store(self, objects: Sequence[pydicom.Dataset]) -> None:
    """Stores objects.

    Raises:
      DataError: the server refused one of them.
    """
    with _explained(self.url, refused=DataError):
      reply = self._client.store_instances(objects)
    refused = reply.get("FailedSOPSequence") or ()
    if refused:
      reasons = {f"{item.get('FailureReason', 0):04X}" for item in refused}
      raise DataError(
        f"{self.url} refused {len(refused)} of {len(objects)} objects (failure "
        f"reason {', '.join(sorted(reasons))} of PS3.18). Its log says why."
      )


def credentials(environment: Mapping[str, str]) -> dict[str, str | None]:
  """Returns user and password from the environment, for `Server`."""
  return {
    "user": environment.get(USER),
    "password": environment.get(PASSWORD),
  }


def _pages(page: Callable[[int], list[Any]]) -> list[Any]:
  """Returns the results of all pages; a server may send them in parts."""
  found: dict[Any, None] = {}
  while new := [one for one in page(len(found)) if one not in found]:
    found |= dict.fromkeys(new)
  return [*found]


def _unchanged(request: Any) -> Any:
  return request


def _value(found: Mapping[str, Any], tag: str) -> str:
  """Returns the UID at a tag of a result."""
  uid = str(found[tag]["Value"][0])
  if not _UID.fullmatch(uid):
    raise ValueError(f"{tag} is no UID")
  return uid


def _checked(url: str) -> str:
  parts = urllib.parse.urlsplit(url)
  if parts.username or parts.password:
    raise ConfigError(
      "--url must not hold a user or a password, which others could read. Give "
      f"them in the environment, as {USER} and {PASSWORD}."
    )
  local = parts.scheme == "http" and _is_local(parts.hostname or "")
  if not parts.hostname or not (parts.scheme == "https" or local):
    raise ConfigError(
      f"--url={url} must begin with https://, since images of patients are "
      "sent; http:// is accepted for this machine alone (localhost)."
    )
  return url.rstrip("/")


def _is_local(host: str) -> bool:
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == "localhost"


@contextlib.contextmanager
def _explained(
  url: str, *, refused: type[UserError] = ConfigError
) -> Iterator[None]:
  """Raises what a request raises as a paragraph for the user.

  Args:
    url: of the server.
    refused: what a request raises that the server refuses for another reason
      than its user.
  """
  try:
    yield
  except requests.exceptions.SSLError as error:
    raise ConfigError(
      f"The certificate of {url} cannot be verified. Give the certificate of "
      "its authority in the environment: REQUESTS_CA_BUNDLE=FILE."
    ) from error
  except requests.exceptions.HTTPError as error:
    code = error.response.status_code if error.response is not None else 0
    kind = ConfigError if code in (401, 403) else refused
    raise kind(f"{url} answered {code}: {_ADVICE.get(code, _OTHER)}") from error
  except requests.exceptions.InvalidJSONError as error:
    raise _no_dicomweb(url, error) from error
  except requests.exceptions.RequestException as error:
    raise ConfigError(
      f"{url} cannot be reached ({type(error).__name__}). Check the address, "
      "and that the server is running."
    ) from error
  except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
    raise _no_dicomweb(url, error) from error


def _no_dicomweb(url: str, error: Exception) -> DataError:
  return DataError(
    f"{url} sent an answer that is not DICOMweb ({type(error).__name__}). "
    "Check that the address is that of the DICOMweb root, as in "
    "https://HOST/dicom-web."
  )


_ADVICE = {
  401: f"the user or the password is wrong or missing ({USER}, {PASSWORD}).",
  403: "the user may not do this.",
  404: "there is no such address; give that of the DICOMweb root.",
  409: "it refused the objects; its log says why.",
}
_OTHER = "see the log of the server."
