"""One module a kind of model: its towers or its scorer, and how it is built."""
