"""Towermill: from raw interaction logs to artifacts a recommender serves.

Importing it imports nothing heavy, but from then on Merlin can be imported; see `towermill.merlin`.
"""

from towermill import merlin as _merlin

__version__ = "0.1.0"

_merlin.arm()
