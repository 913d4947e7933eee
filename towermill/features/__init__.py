"""Features: what a recipe says of a raw column, and one class a kind that encodes its values."""
