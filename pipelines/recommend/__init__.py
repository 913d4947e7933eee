"""Recommendations from bundles: blends, funnels, whole catalogues and competition files."""
