"""Two seeds that train together have the weights of each alone."""

import numpy as np
import pytest
from safetensors import numpy as safetensors

from apppau_jax.config import Config
from apppau_jax.errors import ConfigError
from apppau_jax.experiment import fit_together, fitting, run_files
from configs import phantom


def _config(data_dir, seed):
  config = phantom.get_config("quick")
  config.data.data_dir = str(data_dir)
  config.model.preset, config.model.base_width = "unet", 2
  config.train.batch_size = 4
  config.seed = config.data.label_seed = seed
  return Config.from_dict(config.to_dict())


def test_other_settings_are_refused_before_anything_is_trained(
  data_dir, tmp_path
):
  configs = [_config(data_dir, seed) for seed in (0, 1)]
  configs[1].optim.learning_rate = 0.5
  folders = [tmp_path / "0", tmp_path / "1"]
  with pytest.raises(ConfigError, match=r"optim\.learning_rate"):
    fit_together.train(configs, folders)
  assert not (tmp_path / "1/checkpoints").exists()


@pytest.mark.slow
def test_each_seed_has_the_weights_of_the_seed_alone(data_dir, tmp_path):
  """Within rounding: another program. Then `fit` only measures."""
  configs = [_config(data_dir, seed) for seed in (0, 1)]
  folders = [tmp_path / f"together-{seed}" for seed in (0, 1)]
  fit_together.train(configs, folders)
  for config, folder in zip(configs, folders):
    lines = (folder / "metrics.jsonl").read_text()
    fitting.fit(config, workdir=folder)
    assert (folder / "metrics.jsonl").read_text() == lines
    assert run_files.read_manifest(folder)["status"] == "done"
    alone = tmp_path / f"alone-{config.seed}"
    fitting.fit(config, workdir=alone)
    found, expected = (
      safetensors.load_file(path / "model.safetensors")
      for path in (folder, alone)
    )
    for name, value in expected.items():
      np.testing.assert_allclose(found[name], value, atol=2e-3, err_msg=name)
    reports = [fitting.Run(path).report("test") for path in (folder, alone)]
    dices = [report["segmentation"]["dice"]["mean"] for report in reports]
    assert abs(dices[0] - dices[1]) < 0.01
