"""The `model` sections of rankers on all features: one module a kind."""
