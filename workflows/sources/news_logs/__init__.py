"""Sources that read public news logs: EB-NeRD and MIND."""
