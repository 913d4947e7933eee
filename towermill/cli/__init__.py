"""The command `towermill`."""
