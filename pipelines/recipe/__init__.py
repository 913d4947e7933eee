"""The recipe and its sections. Nothing here imports TensorFlow."""
