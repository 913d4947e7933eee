"""Bundles that are put together: blends and funnels, which are served like one."""
