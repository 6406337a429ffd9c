"""Convolutions by oneDNN, an alternative to XLA's on one CPU.

The networks take this backend as an argument,
`Segmentor(convolutions=convolutions.CONVOLUTIONS)`; nothing in the core
(models, losses, training, inference) imports this package.
"""
