"""The bundle, read with NumPy, ONNX Runtime and PyArrow alone."""
