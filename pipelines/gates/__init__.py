"""The checks that a bundle passes before it is published."""
