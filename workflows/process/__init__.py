"""The process stage: canonical tables to encoded splits."""
