"""The same networks, losses and steps in PyTorch, for comparison only.

They were written from the paper and docs/paper.md, independently of apppau_jax;
`carry` converts our parameters. The layout is torch's NCHW.
"""
