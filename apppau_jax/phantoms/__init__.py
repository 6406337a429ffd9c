"""Procedural chest phantoms: radiographs with exact masks.

`make_phantom` draws one image with its masks. `write_montgomery`,
`write_shenzhen` and `write_jsrt` write data sets of phantoms in the published
layouts of these data sets.
"""

from apppau_jax.phantoms.jsrt import write_jsrt
from apppau_jax.phantoms.phantom import Finding, Phantom, make_phantom
from apppau_jax.phantoms.raw_files import write_montgomery, write_shenzhen

__all__ = [
  "Finding",
  "Phantom",
  "make_phantom",
  "write_jsrt",
  "write_montgomery",
  "write_shenzhen",
]
