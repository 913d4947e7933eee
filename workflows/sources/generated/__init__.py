"""Sources that generate data with a known answer."""
