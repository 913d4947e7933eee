"""Serve a bundle over HTTP: see `towermill.pipelines.server.app`."""
