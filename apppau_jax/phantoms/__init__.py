"""Procedural chest phantoms: radiographs with exact masks and no patient.

`make_phantom` draws one picture with its masks, `write_montgomery`,
`write_shenzhen` and `write_jsrt` write collections in the layouts that the
owners of those sets publish. What the phantoms can show and cannot:
`phantoms/picture.py`.
"""

from apppau_jax.phantoms.jsrt import write_jsrt
from apppau_jax.phantoms.picture import Finding, Phantom, make_phantom
from apppau_jax.phantoms.raw_files import write_montgomery, write_shenzhen

__all__ = [
  "Finding",
  "Phantom",
  "make_phantom",
  "write_jsrt",
  "write_montgomery",
  "write_shenzhen",
]
