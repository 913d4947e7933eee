"""What raw files hold, guessed from their names and values: which table, column and format."""
