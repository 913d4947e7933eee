"""Features: a recipe's settings of a raw column, and a class per kind that encodes its values."""
