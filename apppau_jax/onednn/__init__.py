"""Operations by oneDNN and by C, an alternative to XLA's on one CPU.

The networks take them as an argument,
`Segmentor(operations=operations.OPERATIONS)`; nothing in the core (models,
losses, training, inference) imports this package.
"""
