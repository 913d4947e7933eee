"""Linear models, solved in closed form: their query is the user's history."""
