"""CSV and TSV files: found sound, parsed, and typed by all rows."""
