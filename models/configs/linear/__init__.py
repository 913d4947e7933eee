"""The `model` sections of linear models, whose query is the user's history."""
