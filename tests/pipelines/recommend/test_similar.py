"""`towermill similar`: the bundle's nearest items, by the path of a run too."""

from __future__ import annotations

import json
from typing import Any

from towermill.pipelines import Bundle


def test_command(trained: Any, cli: Any) -> None:
    bundle = Bundle.open(trained.bundle)
    item = bundle.item(0)["item_id"]
    said = cli("similar", trained.latest, item, "-k", 3, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out) == json.loads(json.dumps(bundle.similar(item, 3)))
    assert "known to this bundle" in cli("similar", trained.bundle, "nothing").err
