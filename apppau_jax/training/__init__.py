"""States, steps, checkpoints and the loop around them."""
