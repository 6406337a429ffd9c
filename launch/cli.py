"""What all commands share: flags, error messages and exit statuses."""

import contextlib
import errno
import logging
import os
import pathlib
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import ml_collections
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from apppau_jax import keys, progress
from apppau_jax.errors import (
  ConfigError,
  DataError,
  Interrupted,
  ResourceError,
  UserError,
)
from launch import quiet

if TYPE_CHECKING:  # it imports JAX, which most mistakes need not wait for
  from apppau_jax.config import Config

_RECIPES = pathlib.Path("configs")
_OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
# Errors of a path that is missing, of the wrong kind or not permitted.
_PLACES = (
  *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT),
  *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
)
# Read from sys.argv, because errors in the flags occur before they are parsed.
flags.DEFINE_bool("debug", False, "Show the whole traceback of an error.")
flags.DEFINE_bool(
  "verbose", False, "Also show what XLA and the other libraries report."
)
# Of commands that take `evaluation_changes`.
_OWN = (
  "a trained run is used with its own configuration, of which only "
  "--config.eval.KEY can be changed."
)
_HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull", "--helpxml")


def _complain(error: UserError) -> int:
  """Print an error and those before it, and return the exit status."""
  if "--debug" in sys.argv[1:]:
    _show_traceback(type(error), error, error.__traceback__)
  progress.say(f"error: {error}", error=True)
  for other in _before(error):
    progress.say(f"before that: {other}", error=True)
  return error.exit_code


def _show_traceback(kind, error, trace) -> None:
  """Show a traceback as `sys.excepthook` does, its characters printable."""
  lines = traceback.format_exception(kind, error, trace)
  progress.say("".join(lines).rstrip(), error=True)


def _before(error: BaseException) -> Iterator[UserError]:
  """Yield earlier errors of the exception chain."""
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
    if "Overriding config" in message and name == "config":
      return f"--config cannot be given here: {_OWN}"
    if key == name:
      continue
    if f"Unknown command line flag '{name}'" in message and key in KEYS:
      return f"--{name} cannot be given here: {_OWN}"
    if key in REMOVED:
      return f"--{name} cannot be used: this option was removed."
    if key not in KEYS:
      hint = keys.did_you_mean(key, KEYS)
      return f"--{name} is not a configuration key.{hint}"
    if argument.lstrip("-") in message:
      return f"--{name}={value!r} cannot be read: it must be {KEYS[key]}."
  # config_flags quotes the whole traceback of a config file that raised.
  return " ".join(message.rpartition("Error: ")[-1].split())


def define_models() -> flags.FlagHolder:
  """Define --workdir of a command that predicts with trained models."""
  return flags.DEFINE_multi_string(
    "workdir",
    ["box"],
    "Folder of a trained run; repeat it for an ensemble. box: the model that "
    "the package carries.",
  )


def _define_evaluation() -> None:
  """Define --config.eval.KEY, which changes how trained models are used."""
  from apppau_jax.config import KEYS, defaults

  sections = ml_collections.ConfigDict({"eval": defaults().eval})
  # It looks for its flags at once, and fails at those of other sections.
  known = [f"--config.{name}" for name in KEYS if name.startswith("eval.")]
  words = [
    word
    for word in sys.argv
    if not word.startswith("--config") or word.partition("=")[0] in known
  ]
  config_flags.DEFINE_config_dict("config", sections, sys_argv=words)


def evaluation_changes() -> dict[str, Any]:
  """Return the keys --config.eval.KEY of the command line with their values.

  Raises:
    ConfigError: lists the values that are out of range.
  """
  from apppau_jax.config import Config

  given = config_flags.get_override_values(flags.FLAGS["config"])
  Config.from_dict(given)
  return given


def configuration(flag: flags.FlagHolder) -> "Config":
  """Return the checked configuration of a --config flag.

  Prints a note for each key on the command line that has no effect.

  Raises:
    ConfigError: lists everything that cannot be used.
  """
  from apppau_jax import config as config_lib

  config = config_lib.Config.from_dict(flag.value.to_dict())
  given = config_flags.get_override_values(flags.FLAGS[flag.name])
  for line in config_lib.warnings(config, given=given):
    progress.say(f"note: {line}", error=True)
  return config


def _config_first(arguments: Sequence[str]) -> list[str]:
  """Move `--config=FILE` or `--config FILE` before all other arguments."""
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
  """Raise errors of the machine and Ctrl-C as `UserError`s."""
  try:
    yield
  except KeyboardInterrupt as error:
    raise Interrupted(
      "Interrupted by Ctrl-C; all finished work is saved.", signal.SIGINT
    ) from error
  except OSError as error:
    if error.errno in _PLACES and error.filename:
      raise DataError(
        f"{error.filename} cannot be used: {error.strerror}. Check that the "
        "path exists, that it is a file or a folder as required, and that you "
        "may read and write it."
      ) from error
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
      raise
    raise ResourceError(
      f"The disk is full: {error}. Free some space and run the same command "
      "again; it resumes from the last checkpoint."
    ) from error
  except (MemoryError, RuntimeError) as error:
    # XLA raises a RuntimeError whose message has this word.
    if isinstance(error, RuntimeError) and _OUT_OF_MEMORY not in str(error):
      raise
    raise ResourceError(
      f"Out of memory: {' '.join(str(error).split())[:300]} A smaller "
      "train.batch_size, eval.batch_size, model.base_width or "
      "data.resolution needs less."
    ) from error


def _silence_decoders() -> None:
  """Silence what decoders say of a file: its error is one paragraph."""
  for name in ("PIL", "pydicom"):
    warnings.filterwarnings("ignore", module=rf"{name}\b")
    logging.getLogger(name).setLevel(logging.CRITICAL)


def run(main: Callable[[], None], *, evaluates: bool = False) -> None:
  """Run `main` under absl's flags and exit with a status.

  The status is 0 for success, 2 for usage or configuration, 3 for data, 4 for
  checkpoints, 5 for numbers, 6 for resources, 7 for downloads, and 128 + n for
  signal n. A user's mistake is one paragraph on standard error, with its
  traceback only under --debug. --help exits with 0.

  Args:
    main: what the command does.
    evaluates: whether it takes --config.eval.KEY, see `evaluation_changes`.
  """
  absl_logging.get_absl_handler().setFormatter(progress.Formatter())
  sys.excepthook = _show_traceback
  _silence_decoders()
  details = not {"--debug", "--verbose"}.isdisjoint(sys.argv[1:])
  if not details:
    quiet.silence_compiler()
  if "--debug" not in sys.argv[1:]:
    quiet.silence_threads()
  if evaluates:
    _define_evaluation()
  for module, defined in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith("launch."):  # else --help lacks shared flags
      for flag in defined:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  # The flags --config.KEY exist once the file is read, and config_flags looks
  # in sys.argv itself: --config must come first.
  sys.argv[1:] = _config_first(sys.argv[1:])

  def guarded(argv) -> None:
    del argv
    if not details:
      absl_logging.set_verbosity(absl_logging.ERROR)  # Orbax and TFDS chatter
    shown = progress.verbose(details=details)
    try:
      with quiet.second_signal_ends(), translated(), shown:
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
  except SystemExit as ended:  # absl calls its help a usage error
    if ended.code == 1 and not {*_HELP}.isdisjoint(sys.argv[1:]):
      sys.exit(0)
    raise
  except BrokenPipeError:  # the reader of the output ended
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)
