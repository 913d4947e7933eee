"""A simulated slate service: its users, the policies that show slates, and their training."""
