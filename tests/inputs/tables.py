"""Items and users beside the interactions: joins, features, and the losses reported."""

from __future__ import annotations

from typing import Any

from catalogue import Case

LOG = "user_id,item_id\n1,7\n2,8\n3,9\n4,7\n"
ROWS = [(1, 7), (2, 8), (3, 9), (4, 7)]


def items(
    name: str,
    text: str,
    found: list[Any] | None = None,
    log: str = LOG,
    rows: list[Any] | None = None,
    refused: str | None = None,
    features: dict[str, Any] | None = None,
    **keys: Any,
) -> Case:
    """Return a case of a table of items."""
    source = {"items": {"features": features or {}}, **keys}
    return Case(
        f"items: {name}",
        {"log.csv": log, "items.csv": text},
        source,
        rows,
        items=found,
        refused=refused,
    )


ITEMS = [
    items("all are there", "item_id\n7\n8\n9\n", [(7,), (8,), (9,)], rows=ROWS),
    items("more than the log has", "item_id\n7\n8\n9\n10\n", [(7,), (8,), (9,), (10,)]),
    items("one of three is missing", "item_id\n7\n8\n", [(7,), (8,)], rows=ROWS),
    items(
        "most are missing",
        "item_id\n8\n20\n21\n",
        refused="At least 50% of the rows.*such as 7, 9",
    ),
    items("none is there", "item_id\n70\n80\n", refused="(?s)min_match"),
    items(
        "an id twice", "item_id\n7\n7\n8\n9\n", refused="one row an id. 1 ids have more, such as 7"
    ),
    items("an id is missing", "item_id\n7\n\n8\n9\n", [(7,), (8,), (9,)]),
    items(
        "most are missing, as the recipe allows",
        "item_id\n8\n20\n21\n",
        [(8,), (20,), (21,)],
        rows=ROWS,
        min_match=0.2,
    ),
    items("no rows", "item_id\n", refused="(?i)min_match|rows"),
    items("another name of the id", "film\n7\n8\n9\n", refused="item_id.*film"),
    items("fractions of whole ids", "item_id\n7.0\n8.0\n9.0\n", refused="types"),
    items(
        "fractions, integers as the recipe says",
        "item_id\n7.0\n8.0\n9.0\n",
        [(7,), (8,), (9,)],
        types={"item_id": "integer"},
    ),
    items("leading zeros on one side", "item_id\n007\n008\n009\n", refused="(?s)min_match|types"),
    items(
        "leading zeros, integers as the recipe says",
        "item_id\n007\n008\n009\n",
        [(7,), (8,), (9,)],
        types={"item_id": "integer"},
    ),
    items(
        "capitals on one side",
        "item_id\nA\nB\n",
        log="user_id,item_id\n1,a\n2,b\n",
        refused="(?s)min_match",
    ),
    items(
        "capitals made small",
        "item_id\nA\nB\n",
        [("a",), ("b",)],
        log="user_id,item_id\n1,a\n2,b\n",
        rows=[(1, "a"), (2, "b")],
        normalize_ids=["lower"],
    ),
    items(
        "blanks on one side",
        "item_id\n a\n b\n",
        log="user_id,item_id\n1,a\n2,b\n",
        refused="(?s)min_match|blank",
    ),
    items(
        "blanks stripped",
        "item_id\n a\nb \n",
        [("a",), ("b",)],
        log="user_id,item_id\n1,a\n2,b\n",
        normalize_ids=["strip"],
    ),
    items("a prefix on one side", "item_id\nm7\nm8\nm9\n", refused="(?s)min_match"),
]

#: Values of features are read as what they are for, by all rows.
FEATURES = [
    items(
        "a category keeps leading zeros",
        "item_id,sku\n7,01234\n8,1234\n9,5\n",
        [(7, "01234"), (8, "1234"), (9, "5")],
        features={"sku": "category"},
    ),
    items(
        "a category keeps its last zero",
        "item_id,version\n7,1.10\n8,1.1\n9,2\n",
        [(7, "1.10"), (8, "1.1"), (9, "2")],
        features={"version": "category"},
    ),
    items(
        "a category of whole numbers",
        "item_id,year\n7,1990\n8,1991\n9,1992\n",
        [(7, 1990), (8, 1991), (9, 1992)],
        features={"year": "category"},
    ),
    items(
        "a category with a gap",
        "item_id,genre\n7,a\n8,\n9,b\n",
        [(7, "a"), (8, None), (9, "b")],
        features={"genre": "category"},
    ),
    items(
        "a category of whole numbers with a gap",
        "item_id,year\n7,1990\n8,\n9,1992\n",
        [(7, 1990), (8, None), (9, 1992)],
        features={"year": "category"},
    ),
    items(
        "a category without values",
        "item_id,genre\n7,\n8,\n9,\n",
        refused="genre",
        features={"genre": "category"},
    ),
    items(
        "a title that is a number",
        "item_id,name\n7,007\n8,1984\n9,x\n",
        [(7, "007"), (8, "1984"), (9, "x")],
        features={"name": "title"},
    ),
    items(
        "a title that looks like a Boolean",
        "item_id,name\n7,True\n8,False\n9,None\n",
        [(7, "True"), (8, "False"), (9, "None")],
        features={"name": "title"},
    ),
    items(
        "members of lists keep leading zeros",
        "item_id,tags\n7,01|1\n8,2\n9,\n",
        [(7, ["01", "1"]), (8, ["2"]), (9, None)],
        features={"tags": "list"},
    ),
    items(
        "numbers with a fraction late",
        "item_id,price\n7,1\n8,2\n9,2.5\n",
        [(7, 1.0), (8, 2.0), (9, 2.5)],
        features={"price": "number"},
    ),
    items(
        "numbers with a gap",
        "item_id,price\n7,1\n8,\n9,2\n",
        [(7, 1), (8, None), (9, 2)],
        features={"price": "number"},
    ),
    items(
        "text among numbers",
        "item_id,price\n7,1\n8,cheap\n9,2\n",
        refused="cheap",
        features={"price": "number"},
    ),
    items(
        "decimal commas",
        "item_id;price\n7;1,5\n8;2,5\n9;3\n",
        [(7, 1.5), (8, 2.5), (9, 3.0)],
        log=LOG.replace(",", ";"),
        features={"price": "number"},
        separator=";",
        decimal=",",
    ),
    items(
        "a column that is not there",
        "item_id,genre\n7,a\n8,b\n9,c\n",
        refused="(?s)'gerne'.*genre",
        features={"gerne": "category"},
    ),
    items(
        "dates in two formats",
        "item_id,out\n7,2020-01-01\n8,01.02.2020\n9,2020-01-03\n",
        refused="out",
        features={"out": "age"},
    ),
    items(
        "a second format of dates in row 12,000",
        "item_id,out\n"
        + "".join(f"{i},2020-01-01\n" for i in range(12_000))
        + "12000,01.02.2020\n",
        refused="out",
        features={"out": "age"},
    ),
]
#: Names of columns that no model input can have.
NAMES = [
    items(
        "a name with a blank and capitals",
        "item_id,Price EUR\n7,1.5\n8,2.5\n9,3\n",
        [(7, 1.5), (8, 2.5), (9, 3.0)],
        features={"price": {"kind": "number", "column": "Price EUR"}},
    ),
    items(
        "a name with an umlaut",
        "item_id,Größe\n7,S\n8,M\n9,L\n",
        [(7, "S"), (8, "M"), (9, "L")],
        features={"size": {"kind": "category", "column": "Größe"}},
    ),
    items(
        "a name with an umlaut, not renamed",
        "item_id,Größe\n7,S\n8,M\n9,L\n",
        refused="column: Größe",
        features={"Größe": "category"},
    ),
    items(
        "two features of one column",
        "item_id,Price\n7,1\n8,2\n9,3\n",
        [(7, 1, 1), (8, 2, 2), (9, 3, 3)],
        features={
            "price": {"kind": "number", "column": "Price"},
            "band": {"kind": "number", "boundaries": [2], "column": "Price"},
        },
    ),
]

CASES: list[Case] = [*NAMES, *ITEMS, *FEATURES]
