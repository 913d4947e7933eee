"""The `model` and `train` sections of a recipe, without TensorFlow: one module a kind."""
