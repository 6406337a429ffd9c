"""Learning from unlabelled images; `METHODS` are those of consistency.name.

Parameters of a method are the keys of config.consistency that it alone uses.
"""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanTeacher:
  """Squared difference to the teacher's probabilities."""

  teacher: str = "averaged"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PseudoLabel:
  """Cross-entropy to the teacher's confident pixels."""

  teacher: str = "averaged"
  threshold: float = 0.95


METHODS = {"mean_teacher": MeanTeacher, "pseudo_label": PseudoLabel}
