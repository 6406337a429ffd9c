"""What every main shares: flags, one paragraph for an error, exit status."""

import contextlib
import errno
import logging
import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from apppau_jax import keys
from apppau_jax.errors import (
  ConfigError,
  DataError,
  Interrupted,
  ResourceError,
  UserError,
)

if TYPE_CHECKING:  # it imports JAX, which most mistakes need not wait for
  from apppau_jax.config import Config

_RECIPES = pathlib.Path("configs")
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
# Of a file or folder that is not there, not one, or not the user's.
_PLACES = (
  *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT),
  *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
)
# Looked for in sys.argv: an error in the flags themselves comes before them.
flags.DEFINE_bool("debug", False, "Show the whole traceback of an error.")


def _complain(error: UserError) -> int:
  if "--debug" in sys.argv[1:]:
    traceback.print_exception(error)
  print(f"error: {error}", file=sys.stderr, flush=True)
  for other in _before(error):
    print(f"before that: {other}", file=sys.stderr, flush=True)
  return error.exit_code


def _before(error: BaseException) -> Iterator[UserError]:
  """What had already ended the run when its last save, say, went wrong too."""
  while earlier := error.__cause__ or error.__context__:
    if error.__cause__ is None and isinstance(earlier, UserError):
      yield earlier
    error = earlier


def _parse(argv: Sequence[str]) -> list[str]:
  """Parse the flags; every mistake becomes a ConfigError."""
  try:
    rest = flags.FLAGS(argv)
    if "config" in flags.FLAGS:  # a missing file raises only when it is used
      getattr(flags.FLAGS["config"].value, "to_dict", None)
  except (flags.Error, AttributeError, KeyError, ValueError, TypeError) as e:
    raise ConfigError(_explain(str(e), argv)) from e
  except OSError as e:
    raise ConfigError(_unreadable(argv, str(e))) from e
  if len(rest) > 1:
    raise ConfigError(
      f"'{rest[1]}' is not a flag; write --name=value, or --help for the list."
    )
  return rest


def _unreadable(argv: Sequence[str], reason: str) -> str:
  """Explain why the --config that comes first cannot be read."""
  words = " ".join(argv[1:2]).partition("=")[2] or " ".join(argv[2:3])
  path = pathlib.Path(words.partition(":")[0])
  if path.is_file():
    return f"--config={words} cannot be read: {' '.join(reason.split())}"
  recipes = {recipe.stem: recipe for recipe in sorted(_RECIPES.glob("*.py"))}
  near = recipes.get(keys.nearest(path.stem, recipes))
  return (
    f"--config={words} is not a file. Give a path from the current folder, for "
    "instance --config=configs/phantom.py."
    f"{f' Did you mean {near}?' if near else ''}"
  )


def _explain(message: str, argv: Sequence[str]) -> str:
  """Name the key of a --config.KEY flag that could not be used, with a hint."""
  from apppau_jax.config import KEYS, REMOVED

  for argument in argv[1:]:
    name, _, value = argument.lstrip("-").partition("=")
    key = name.removeprefix("config.")
    if key == name:
      continue
    if key in REMOVED:
      return f"--{name} cannot be used: this option was removed."
    if key not in KEYS:
      hint = keys.did_you_mean(key, KEYS)
      return f"--{name} is not a configuration key.{hint}"
    if argument.lstrip("-") in message:
      return f"--{name}={value!r} cannot be read: it must be {KEYS[key]}."
  # config_flags quotes the whole traceback of a config file that raised.
  return " ".join(message.rpartition("Error: ")[-1].split())


def configuration(flag: flags.FlagHolder) -> "Config":
  """Return the checked configuration of a --config flag.

  Prints a note for each key on the command line that has no effect.

  Raises:
    ConfigError: lists everything that cannot be used.
  """
  from apppau_jax.config import Config, warnings

  config = Config.from_dict(flag.value.to_dict())
  given = config_flags.get_override_values(flags.FLAGS[flag.name])
  for line in warnings(config, given=given):
    print(f"note: {line}", file=sys.stderr)
  return config


def _config_first(arguments: Sequence[str]) -> list[str]:
  """`--config=FILE`, or `--config FILE`, before everything else."""
  first, rest = [], []
  taken = iter(arguments)
  for argument in taken:
    if argument in ("--config", "-config"):
      first += [argument, *(value for value in [next(taken, None)] if value)]
    elif argument.startswith(("--config=", "-config=")):
      first.append(argument)
    else:
      rest.append(argument)
  return [*first, *rest]


@contextlib.contextmanager
def translated() -> Iterator[None]:
  """What the machine or the user's keyboard did, as errors of ours."""
  try:
    yield
  except KeyboardInterrupt as error:
    raise Interrupted(
      "Interrupted by the keyboard; what was finished is saved.", signal.SIGINT
    ) from error
  except OSError as error:
    if error.errno in _PLACES and error.filename:
      raise DataError(
        f"{error.filename} cannot be used: {error.strerror}. Look whether it "
        "is where it should be, a folder where a folder is wanted, and yours "
        "to read and write."
      ) from error
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    raise ResourceError(
      f"The disk is full: {error}. Make room and give the same command again; "
      "it goes on from the last checkpoint."
    ) from error
  except (MemoryError, RuntimeError) as error:
    # XLA's own error type is a RuntimeError that says so in words.
    if isinstance(error, RuntimeError) and _OUT_OF_MEMORY not in str(error):
      raise
    raise ResourceError(
      f"Out of memory: {' '.join(str(error).split())[:300]} A smaller "
      "train.batch_size, eval.batch_size, model.base_width or "
      "data.resolution needs less."
    ) from error


def run(main: Callable[[], None]) -> None:
  """Runs `main` under absl's flags and exits with the status of house rules.

  0 ok, 2 usage or configuration, 3 data, 4 checkpoint, 5 numbers, 6 resources,
  128 + n interrupted by signal n. A user's mistake is one paragraph on
  standard error; its traceback only with --debug.
  """
  logging.basicConfig(level=logging.WARNING, format="%(message)s")
  # Of a failed save Orbax's threads tell once more each, at great length.
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)
  # The flags that change a config's values exist once it is read (and
  # config_flags looks in sys.argv itself): --config goes first.
  sys.argv[1:] = _config_first(sys.argv[1:])

  def guarded(argv) -> None:
    del argv
    absl_logging.set_verbosity(absl_logging.ERROR)  # Orbax and TFDS chatter
    try:
      with translated():
        main()
    except UserError as error:
      sys.exit(_complain(error))

  def parse(argv):
    try:
      return _parse(argv)
    except UserError as error:
      sys.exit(_complain(error))

  try:
    app.run(guarded, flags_parser=parse)
  except BrokenPipeError:  # the reader of our output left
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
