"""The export stage: towers, tables, index and definitions, written as one bundle."""
