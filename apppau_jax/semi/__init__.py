"""Semi-supervised methods: what the segmentor learns from unlabelled images.

To add a method, write a file with a `Method` and name it in `METHODS`; it is
then a value of `config.consistency.name`. The fields of its class besides
`strong_view` are set from the keys of the same names in `config.consistency`.
"""

from apppau_jax.semi.cross_pseudo_supervision import CrossPseudoSupervision
from apppau_jax.semi.mean_teacher import MeanTeacher, mean_teacher_loss
from apppau_jax.semi.method import Method
from apppau_jax.semi.pseudo_label import PseudoLabel, pseudo_label_loss
from apppau_jax.semi.strong_views import strong_view
from apppau_jax.semi.uncertainty_mean_teacher import (
  UncertaintyMeanTeacher,
  certain_mean_teacher_loss,
)
from apppau_jax.semi.unimatch import UniMatch

METHODS: dict[str, type[Method]] = {
  "mean_teacher": MeanTeacher,
  "uncertainty_mean_teacher": UncertaintyMeanTeacher,
  "pseudo_label": PseudoLabel,
  "unimatch": UniMatch,
  "cross_pseudo_supervision": CrossPseudoSupervision,
}

__all__ = [
  "METHODS",
  "CrossPseudoSupervision",
  "MeanTeacher",
  "Method",
  "PseudoLabel",
  "UncertaintyMeanTeacher",
  "UniMatch",
  "certain_mean_teacher_loss",
  "mean_teacher_loss",
  "pseudo_label_loss",
  "strong_view",
]
