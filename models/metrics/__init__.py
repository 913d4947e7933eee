"""Metrics as formulas over ranked lists and scored impressions."""
