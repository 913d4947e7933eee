"""A Triton model repository of a bundle."""
