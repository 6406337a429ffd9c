"""Which model made a result, and the UIDs that follow from it.

UIDs are functions of the source's UIDs, the model and the kind of the result
(UUIDs of version 5 below 2.25, PS3.5 B.2). The same model therefore gives a
film the same UIDs on every machine, and a server can be asked whether a film
has its results.
"""

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

# Kinds of results with their series' number and description.
KINDS = {
  "seg": (901, "segmentation"),
  "sc": (902, "overlay"),
  "sr": (903, "measurements"),
}
NAME = "apppau_jax"


@dataclasses.dataclass(frozen=True)
class Maker:
  """What made a result.

  Attributes:
    digest: SHA-256, in hexadecimal, of the model's identity and of `package`.
    package: version of this package.
  """

  digest: str
  package: str

  @classmethod
  def of(cls, identity: Mapping[str, Any], *, package: str) -> "Maker":
    """Returns the maker with a model's identity, in JSON's types."""
    text = json.dumps([package, dict(identity)], sort_keys=True)
    return cls(hashlib.sha256(text.encode()).hexdigest(), package)

  @property
  def version(self) -> str:
    """The version of the package, and the model."""
    return f"{self.package}, model {self.serial_number}"

  @property
  def serial_number(self) -> str:
    """The first digits of the digest."""
    return self.digest[:16]

  def uid(self, *parts: str) -> str:
    """Returns a UID that is a function of the maker and of `parts`.

    Example:
      >>> Maker("c0ffee", "0.2.0").uid("1.2.3", "seg")
      '2.25.197022696127539712070284617783559690060'
    """
    name = "/".join((NAME, self.digest, *parts))
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"

  def instance_uid(self, source: str, kind: str) -> str:
    """Returns the UID of a film's result.

    Args:
      source: SOP Instance UID of the film.
      kind: of the result, a key of `KINDS`.
    """
    return self.uid("instance", source, kind)

  def series_uid(self, source: str, kind: str) -> str:
    """Returns the UID of the series of the results of a series of films."""
    return self.uid("series", source, kind)
