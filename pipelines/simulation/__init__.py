"""A simulated service of slates: who visits, what is shown, what is learned of it."""
