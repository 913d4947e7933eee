"""Where computing happens: devices, GPU memory, clusters and their versions."""
