"""The service behind the routes: the bundle being served, and its reloading."""
