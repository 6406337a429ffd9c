"""Models and results where this package is not: ONNX, StableHLO, DICOM."""
