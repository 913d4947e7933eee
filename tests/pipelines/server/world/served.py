"""`towermill serve` of a stand-in, in a process of its own: `python served.py BUNDLE [K=V …]`."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

from circle import CircleBundle  # noqa: E402

from towermill.pipelines.server.command import listen, run_server  # noqa: E402
from towermill.pipelines.server.settings import Settings  # noqa: E402


class ServedBundle(CircleBundle):
    """Takes as long to answer as its manifest says, once it is warm; any feature will do."""

    def check(self, query):  # type: ignore[no-untyped-def]
        super().check(replace(query, features=None))

    def answer(self, queries):  # type: ignore[no-untyped-def]
        self.seconds = self.told.get("seconds", 0.0) if self.batches else 0.0
        return super().answer(queries)


if __name__ == "__main__":
    given = dict(word.split("=") for word in sys.argv[2:])
    settings = Settings(**{name: json.loads(value) for name, value in given.items()})
    try:
        run_server(sys.argv[1], ServedBundle.open, settings, listen("127.0.0.1", 0), 20)
    except KeyboardInterrupt:  # as the command line does
        sys.exit(130)
