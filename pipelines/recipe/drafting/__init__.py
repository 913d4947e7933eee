"""Recipes drafted from data: what `towermill init` writes."""
