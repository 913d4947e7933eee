"""Search over ranges of a recipe: studies of trials, each a separate training."""
