"""States, the training step, checkpoints and the loop around them."""
