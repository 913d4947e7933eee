"""A bundle behind HTTP: see `towermill.pipelines.server.app`."""
