"""Plans and runs: which stages run, where, and under which lock."""
