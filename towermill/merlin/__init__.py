"""Merlin's packages on a current stack."""
