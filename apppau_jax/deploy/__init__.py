"""Trained models where this package is not: ONNX, StableHLO."""
