"""What the routes call: the bundle being served and how it is reloaded."""
