"""What is done with finished runs: list, compare, clean, publish."""
