"""Devices, GPU memory, clusters, and the versions on them."""
