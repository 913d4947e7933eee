"""Rankers on all features, of Merlin Models' blocks: one module a kind."""
