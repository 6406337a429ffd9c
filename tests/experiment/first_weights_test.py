"""No step shares its random key with initial parameters."""

import jax
import numpy as np

from apppau_jax.experiment import networks
from apppau_jax.training import state
from configs import appau_phantom


def test_no_step_shares_its_key_with_the_first_weights(monkeypatch):
  """`split(key)[i]` is `fold_in(key, i)`: S drawn from the run's own key would
  share its draws with the first two steps."""
  drawn = []
  monkeypatch.setattr(
    state, "init_player", lambda module, *x, key, optimizer: drawn.append(key)
  )
  config = appau_phantom.get_config()
  config.consistency.name = "cross_pseudo_supervision"
  networks.init(config, seed=3)
  # What `init_player` makes of a key: itself, and the two that it splits into.
  made = [k for key in drawn for k in (key, *jax.random.split(key))]
  steps = [jax.random.fold_in(jax.random.key(3), t) for t in range(50)]
  steps += [k for step in steps for k in jax.random.split(step)]
  seen = {tuple(np.asarray(jax.random.key_data(k))) for k in steps}
  own = [tuple(np.asarray(jax.random.key_data(k))) for k in made]
  assert len(drawn) == 3
  assert len(set(own)) == len(own) == 9
  assert not seen & {*own}
