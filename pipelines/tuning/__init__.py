"""Search over ranges of a recipe: studies of trials, each a training of its own."""
