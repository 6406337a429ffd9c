"""Runs from a configuration: the only package, with paper, that reads one.

assemble, networks, input_pipeline  from a configuration to a training step
data, data_gate                     its data set, split and validation
fitting, validation, evaluate_run   training, validation and evaluation
loading                             from run folders to models
run_folder, provenance              the run folder, and how it was made
cost                                what a run would take
"""

from apppau_jax.experiment.fitting import Run, fit
from apppau_jax.experiment.loading import load

__all__ = ["Run", "fit", "load"]
