"""Rankings, their metrics, and the baselines beside them."""
