"""Learning from unlabelled images; `METHODS` are those of consistency.name."""

METHODS = {
  "mean_teacher": "squared difference to the teacher's probabilities",
  "pseudo_label": "cross-entropy to the teacher's confident pixels",
}
