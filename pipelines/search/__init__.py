"""Nearest items by inner product or cosine: exact, or by a graph of neighbours."""
