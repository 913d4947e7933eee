"""Objectives of training: losses, negatives and their sampling."""
