"""Notes of a report: what a reader must know to use its figures."""

from apppau_jax.datasets import registry
from apppau_jax.experiment import loading, networks, run_files, run_folder
from apppau_jax.metrics import classification


def of_runs(runs: loading.LoadedRuns, digest: str) -> list[str]:
  """Returns what the runs and their data had that a reader must know."""
  notes = []
  if runs.is_ensemble:
    notes.append(
      f"The mean of the probabilities of {len(runs.workdirs)} networks: "
      f"{', '.join(folder.name for folder in runs.workdirs)}. Clean-up, side "
      "outputs, attention and the configuration below are the first one's."
    )
  for workdir in runs.workdirs:
    manifest = run_files.read_manifest(workdir)
    notes += run_folder.data_remarks(workdir)
    if manifest.get("status") in ("interrupted", "failed"):
      notes.append(f"The training was {manifest['status']} before its end.")
    if manifest.get("data_sha256") != digest:
      notes.append("The prepared data are not those of the training.")
    notes += [
      f"The run was lengthened from {change['from']} to {change['to']} epochs; "
      "its schedule from there on is that of the longer run."
      for change in manifest.get("lengthened", [])
    ]
  if runs.changes:
    changed = ", ".join(f"{k}={v}" for k, v in runs.changes.items())
    notes.append(f"Changed for this evaluation: {changed}.")
  return [*dict.fromkeys(notes)]  # once, though several runs have it


def of_config(config: networks.Config) -> list[str]:
  """Returns what the configuration does to the figures."""
  notes = []
  if config.eval.largest_components:
    notes.append(
      f"Only the {config.eval.largest_components} largest connected "
      "components of each prediction are kept."
    )
  if config.eval.test_time_augmentation:
    notes.append(
      "Test-time augmentation: masks are the mean over the image and its "
      "rotated and zoomed views."
    )
  if networks.has_classes(config) and config.eval.temperature_scaling:
    notes.append(
      "Class probabilities are scaled by a temperature that was fitted on the "
      "validation images, so ECE and Brier score of these are optimistic. With "
      f"fewer than {classification.LEAST_CALIBRATED} validation images that "
      "have a class it is 1, and nothing is scaled."
    )
  if len(networks.structures(config)) > 1:
    notes.append(
      "Segmentation is the mean over the structures of each image; images "
      "without the mask of one of them are not evaluated."
    )
  if "phantom" in registry.parts(config.data.dataset):
    notes.append("Procedural phantoms, not patients.")
  return notes
