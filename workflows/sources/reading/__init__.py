"""Raw files to typed columns."""
