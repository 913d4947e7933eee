"""The prepare stage: sources read, checked and written as canonical tables."""
