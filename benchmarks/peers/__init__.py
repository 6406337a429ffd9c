"""The same networks, losses and steps in PyTorch, for comparison only.

Written from the paper and docs/paper.md as a PyTorch user would, not from
apppau_jax; `carry` brings our parameters over. NCHW, as torch has it.
"""
