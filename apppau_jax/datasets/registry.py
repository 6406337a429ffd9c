"""The data sets by name, and combinations of them.

A combination is a view over prepared sets: `a+b`, in any order, or `ccx`, the
paper's union of its three sets. `folder` and `folder:NAME` are sets of the
user; their classes are stated by their prepared files. Nothing here reads a
file or imports TFDS.
"""

import re
from collections.abc import Iterable, Mapping

from apppau_jax.datasets import ccx
from apppau_jax.datasets.chestx_det import CHESTX_DET
from apppau_jax.datasets.chestx_ray14 import CHESTX_RAY14
from apppau_jax.datasets.covid19_radiography import COVID19_RADIOGRAPHY
from apppau_jax.datasets.covid_qu_ex import (
  COVID_QU_EX,
  COVID_QU_EX_INFECTION,
)
from apppau_jax.datasets.folder import FOLDER
from apppau_jax.datasets.jsrt import JSRT
from apppau_jax.datasets.montgomery import MONTGOMERY
from apppau_jax.datasets.phantom import PHANTOM
from apppau_jax.datasets.shenzhen import SHENZHEN
from apppau_jax.datasets.siim_acr import SIIM_ACR
from apppau_jax.datasets.spec import DatasetSpec
from apppau_jax.datasets.tbx11k import TBX11K
from apppau_jax.datasets.vindr_cxr import VINDR_CXR
from apppau_jax.errors import ConfigError
from apppau_jax.hints import did_you_mean

# The order is that of the members of combinations, and of their classes.
DATASETS: dict[str, DatasetSpec] = {
  spec.name: spec
  for spec in (
    *(MONTGOMERY, SHENZHEN, JSRT, PHANTOM, CHESTX_RAY14, CHESTX_DET),
    *(COVID19_RADIOGRAPHY, COVID_QU_EX, COVID_QU_EX_INFECTION),
    *(SIIM_ACR, TBX11K, VINDR_CXR, FOLDER),
  )
}
COMBINATIONS: dict[str, tuple[str, ...]] = {ccx.NAME: ccx.MEMBERS}
OWN = FOLDER.name
OWN_FORM = (
  f"{OWN}:NAME (NAME of small letters, digits, - and _, a letter first)"
)
_OWN = re.compile(rf"{OWN}(:[a-z][a-z0-9_-]{{0,40}})?")


def is_own(name: str) -> bool:
  """Returns whether a name is that of a set of the user."""
  return bool(_OWN.fullmatch(name))


def is_public(dataset: str) -> bool:
  """Returns whether the images of all members are published, or phantoms.

  Example:
    >>> is_public("ccx"), is_public("montgomery+folder:clinic")
    (True, False)
  """
  return all(
    member == PHANTOM.name or spec(member).ids is not None
    for member in members(dataset)
  )


def check_columns(name: str, columns: Mapping[str, str] | None) -> None:
  """Refuses names of columns for a set that is not the user's.

  Raises:
    ConfigError: there are such names.
  """
  if columns and not is_own(name):
    raise ConfigError(
      f"--id_column, --label_column and --patient_column are for sets of your "
      f"own, {OWN_FORM}; {name} has the columns of its owner."
    )


def kind(member: str) -> str:
  """Returns the key of `DATASETS` for a member: `folder` of folder:NAME."""
  return member.partition(":")[0]


def spec(member: str) -> DatasetSpec:
  """Returns the facts about one set, which may be `folder:NAME`.

  Raises:
    ConfigError: there is no such set, or it is a combination.
  """
  found = members(member)
  if len(found) > 1:
    raise ConfigError(
      f"{member} is a view over {' and '.join(found)} and is not prepared "
      "itself; prepare each of them."
    )
  return DATASETS[kind(member)]


def parts(dataset: str) -> tuple[str, ...]:
  """Splits a name into those of its sets, without checking that they exist."""
  words = dataset.split("+")
  return tuple(name for w in words for name in COMBINATIONS.get(w, (w,)))


def members(dataset: str) -> tuple[str, ...]:
  """Returns the sets of a name in the order of `DATASETS`, the user's last.

  Args:
    dataset: a set, `ccx`, or several names joined by `+`.

  Raises:
    ConfigError: a set does not exist, or is named twice.

  Example:
    >>> members("jsrt+montgomery")
    ('montgomery', 'jsrt')
  """
  names = parts(dataset)
  for name in names:
    if not is_own(name) and name not in DATASETS:
      where = f" (in {dataset!r})" if name != dataset else ""
      offered = [*DATASETS, *COMBINATIONS]
      raise ConfigError(
        f"There is no dataset {name!r}{where}; choose from "
        f"{', '.join(offered)} and {OWN_FORM}, or join sets by '+', as in "
        f"montgomery+shenzhen.{did_you_mean(name.lower(), offered)}"
      )
  if len(set(names)) < len(names):
    raise ConfigError(
      f"config.data.dataset is {dataset!r}, which names a set twice; name "
      "each once."
    )
  own = sorted(filter(is_own, names))
  return (*(n for n in DATASETS if n in names and n not in own), *own)


def is_combined(dataset: str) -> bool:
  """Returns whether a name stands for several sets."""
  return len(members(dataset)) > 1


def class_names(dataset: str) -> tuple[str, ...]:
  """Returns the classes of public sets or phantoms; labels index them.

  Raises:
    ConfigError: see `members`; or a set of the user, whose classes only its
      prepared files state.
  """
  own = [member for member in members(dataset) if is_own(member)]
  if own:
    raise ConfigError(
      f"The classes of {own[0]} are those of its labels.csv and are stated by "
      "its prepared files, not by its name."
    )
  return union(spec(member).class_names for member in members(dataset))


def check_masks(dataset: str) -> None:
  """Checks that the masks of all sets of a name outline the same.

  Raises:
    ConfigError: they do not.
  """
  outlined = {m: spec(m).outlined.name for m in members(dataset)}
  if len(set(outlined.values())) > 1:
    stated = ", ".join(f"{what} in {m}" for m, what in outlined.items())
    raise ConfigError(
      f"The masks of {dataset} outline different things: {stated}. One network "
      "cannot learn both as one mask; train on them separately, or set "
      "config.data.structures to names that both sets have."
    )


def union(classes: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
  """Joins the classes of the members of a combination, in their order."""
  return tuple(dict.fromkeys(name for names in classes for name in names))


def finding_names(dataset: str) -> tuple[str, ...]:
  """Returns the findings that the sets of a name state; often none."""
  return union(spec(member).finding_names for member in members(dataset))


def structure_names(dataset: str) -> tuple[str, ...]:
  """Returns the structures that the sets of a name outline; often none."""
  return union(spec(member).structure_names for member in members(dataset))
