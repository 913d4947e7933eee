"""Layouts of shops, sessions, check-ins and news."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl
from layouts import ITEMS, USERS, Layout, jsonl, rows, table, title

EVENTS = ["view"] * 8 + ["cart", "purchase"]


def events() -> Mapping[str, Any]:
    log = [
        (
            r.when.strftime("%Y-%m-%d %H:%M:%S UTC"),
            EVENTS[n % 10],
            r.item,
            2053013555631882655 + r.item % 4,
            "" if r.item % 3 else "electronics.smartphone",
            ["apple", "acer", ""][r.item % 3],
            f"{r.item * 3}.99",
            512000000 + r.user,
            f"{n // 3:08x}-7e4b-4c6c-9b1e-000000000000",
        )
        for n, r in enumerate(rows())
    ]
    header = "event_time event_type product_id category_id category_code brand price user_id"
    return {"2019-Oct.csv.gz": table([*header.split(), "user_session"], log)}


def retailrocket() -> Mapping[str, Any]:
    kinds = ["view"] * 28 + ["addtocart", "transaction"]
    log = [
        (r.at * 1000 + n, r.user, kinds[n % 30], r.item, n if n % 30 == 29 else "")
        for n, r in enumerate(rows())
    ]
    changes = [(r.at * 1000, r.item, r.stars, f"n{r.user}.000 {r.item}") for r in rows()]
    return {
        "events.csv": table(["timestamp", "visitorid", "event", "itemid", "transactionid"], log),
        "item_properties_part1.csv": table(["timestamp", "itemid", "property", "value"], changes),
        "category_tree.csv": table(["categoryid", "parentid"], [(n, n // 2) for n in range(1, 9)]),
    }


def yoochoose() -> Mapping[str, Any]:
    log = [
        (
            1000 + n // 3,
            r.when.strftime("%Y-%m-%dT%H:%M:%S.123Z"),
            214500000 + r.item,
            ["0", "S", "5"][n % 3],
        )
        for n, r in enumerate(rows())
    ]
    return {"yoochoose-clicks.dat": table(None, log)}


def diginetica() -> Mapping[str, Any]:
    log = [(1 + n // 3, r.item, f"{r.when:%Y-%m-%d}") for n, r in enumerate(rows())]
    return {"views.csv": table(["sessionId", "itemId", "eventdate"], log, ";")}


def steam() -> Mapping[str, Any]:
    log = []
    for n, r in enumerate(rows()):
        game = f'"{title(r.item)}, II"' if r.item % 5 == 0 else title(r.item)
        log.append((151603712 + r.user, game, "purchase", "1.0", "0"))
        if n % 2:
            log.append((151603712 + r.user, game, "play", f"{r.stars * 7}.{n % 9 + 1}", "0"))
    return {"steam-200k.csv": table(None, log)}


def gowalla() -> Mapping[str, Any]:
    log = [
        (
            r.user,
            r.when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            30.2 + r.item / 997,
            -97.7 - r.item / 991,
            22847 + r.item,
        )
        for r in rows()
    ]
    return {"loc-gowalla_totalCheckins.txt.gz": table(None, log, "\t")}


def hm() -> Mapping[str, Any]:
    def customer(n: int) -> str:
        return f"{n:064x}"

    log = [
        (f"{r.when:%Y-%m-%d}", customer(r.user), f"0{108775000 + r.item}", 0.0508 + r.item / 997, 2)
        for r in rows()
    ]
    header = ["t_dat", "customer_id", "article_id", "price", "sales_channel_id"]
    articles = [
        (
            f"0{108775000 + n}",
            f"0{108775 + n // 3}",
            title(n),
            250 + n % 5,
            ["Vest top", "Bra", "Trousers"][n % 3],
            f'"{title(n)}, in jersey with narrow shoulder straps and a print at the front."',
        )
        for n in range(1, ITEMS + 1)
    ]
    names = ["article_id", "product_code", "prod_name", "product_type_no", "product_type_name"]
    customers = [
        (customer(n), "1.0" if n % 2 else "", "ACTIVE" if n % 3 else "PRE-CREATE", 20 + n % 50)
        for n in range(1, USERS + 1)
    ]
    return {
        "transactions_train.csv": table(header, log),
        "articles.csv": table([*names, "detail_desc"], articles),
        "customers.csv": table(["customer_id", "FN", "club_member_status", "age"], customers),
    }


def german() -> Mapping[str, Any]:
    def price(n: int) -> str:
        return f"{n},{n % 90 + 10}"

    log = [
        (n, r.user, r.item, r.when.strftime("%d.%m.%Y %H:%M"), r.stars, price(r.item))
        for n, r in enumerate(rows())
    ]
    header = ["Bestellnummer", "Kundennummer", "Artikelnummer", "Datum", "Menge", "Preis"]
    items = [
        (n, f"Schöner {title(n)}", ["Küche", "Bad", "Möbel"][n % 3], price(n))
        for n in range(1, ITEMS + 1)
    ]
    names = ["Artikelnummer", "Bezeichnung_Name", "Kategorie", "Preis"]
    return {
        "bestellungen.csv": table(header, log, ";").encode("cp1252"),
        "artikel.csv": table(names, items, ";").encode("cp1252"),
    }


def instacart() -> Mapping[str, Any]:
    draw = random.Random(3)
    lines, orders = [], []
    for order in range(1, 301):
        orders.append(
            (order, order % USERS + 1, "prior", order // USERS + 1, order % 7, order % 24)
        )
        for place, item in enumerate(draw.sample(range(1, ITEMS + 1), 5), start=1):
            lines.append((order, item, place, draw.randint(0, 1)))
    products = [(n, title(n), n % 20 + 1, n % 7 + 1) for n in range(1, ITEMS + 1)]
    orders_header = ["order_id", "user_id", "eval_set", "order_number", "order_dow"]
    return {
        "order_products__prior.csv": table(
            ["order_id", "product_id", "add_to_cart_order", "reordered"], lines
        ),
        "orders.csv": table(orders_header, orders),
        "products.csv": table(
            ["product_id", "product_name", "aisle_id", "department_id"], products
        ),
        "aisles.csv": table(["aisle_id", "aisle"], [(n, f"aisle {n}") for n in range(1, 21)]),
    }


def retail_uci() -> Mapping[str, Any]:
    log = [
        (
            536365 + n // 4,
            f"8{r.item:04d}A",
            f'"{title(r.item).upper()}, RED"',
            r.stars,
            f"{r.when.month}/{r.when.day}/{r.when.year} {r.when.hour}:{r.when:%M}",
            f"{r.item / 10:.2f}",
            "" if n % 9 == 0 else f"{17850 + r.user}.0",
            "United Kingdom",
        )
        for n, r in enumerate(rows())
    ]
    header = "InvoiceNo StockCode Description Quantity InvoiceDate UnitPrice CustomerID Country"
    return {"online_retail.csv": table(header.split(), log).encode("latin-1")}


def exposures() -> Mapping[str, Any]:
    log = [
        {"uid": f"u{r.user}", "sku": r.item, "clicked": n % 5 == 0, "ts": r.at * 1000}
        for n, r in enumerate(rows())
    ]
    return {"log.ndjson": jsonl(log)}


def given_splits() -> Mapping[str, Any]:
    parts = ["train"] * 8 + ["valid", "test"]
    log = [(f"u{r.user}", f"i{r.item}", parts[n % 10]) for n, r in enumerate(rows())]
    text = table(["utilisateur", "produit", "part"], log, "\t")
    return {"log.tsv": text.encode("utf-16")}


def ali_ccp() -> Mapping[str, Any]:
    names = "user_id item_id click conversion user_profile user_group user_gender user_age"
    more = "user_consumption_1 user_consumption_2 user_is_occupied user_geography item_category"
    frame = pl.DataFrame(
        {
            name: [(7 * n + i) % 50 if i < 2 else n % 2 for n in range(200)]
            for i, name in enumerate(f"{names} {more}".split())
        }
    )
    return {"train/part_0.parquet": frame, "test/part_0.parquet": frame}


def mind() -> Mapping[str, Any]:
    news = [(f"N{n}", "news", "world", title(n), "", "u", "[]", "[]") for n in range(1, 20)]
    found = {}
    for day, part in ((11, "train"), (15, "dev")):
        seen = [
            (n, f"U{n % 5}", f"11/{day + n % 3}/2019 9:{n % 60:02d}:58 AM", "N1 N2", "N3-1 N4-0")
            for n in range(day * 20, day * 20 + 40)
        ]
        found[f"MINDsmall_{part}/news.tsv"] = table(None, news, "\t")
        found[f"MINDsmall_{part}/behaviors.tsv"] = table(None, seen, "\t")
    return found


def ebnerd() -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for day, part in ((1, "train"), (5, "validation")):
        numbers = range(day * 100, day * 100 + 80)
        found[f"{part}/behaviors.parquet"] = pl.DataFrame(
            {
                "impression_id": list(numbers),
                "user_id": [n % 9 for n in numbers],
                "impression_time": [datetime(2023, 5, day + n % 3, 9, n % 60) for n in numbers],
                "article_ids_inview": [[1 + n % 20, 1 + (n + 7) % 20] for n in numbers],
                "article_ids_clicked": [[1 + n % 20] for n in numbers],
            }
        )
        history = {"user_id": list(range(9)), "article_id_fixed": [[1, 2, 3]] * 9}
        found[f"{part}/history.parquet"] = pl.DataFrame(history)
    articles = range(1, 21)
    names = [title(n) for n in articles]
    published = [datetime(2023, 5, 1)] * len(articles)
    return found | {
        "articles.parquet": pl.DataFrame(
            {"article_id": articles, "title": names, "subtitle": names, "category": [1, 2] * 10}
            | {"published_time": published}
        )
    }


LAYOUTS = [
    Layout(
        "E-commerce events",
        events,
        {
            "user_id": "user_id",
            "item_id": "product_id",
            "timestamp": "event_time",
            "signals": {"event": "event_type"},
            "reading": {"date_format": "%Y-%m-%d %H:%M:%S UTC"},
        },
        recipe={"features": {"positive": {"event": ["view", "cart", "purchase"]}}},
    ),
    Layout(
        "RetailRocket",
        retailrocket,
        {
            "user_id": "visitorid",
            "item_id": "itemid",
            "timestamp": "timestamp",
            "signals": {"event": "event"},
        },
        recipe={"features": {"positive": {"event": ["view", "addtocart", "transaction"]}}},
    ),
    Layout(
        "Yoochoose",
        yoochoose,
        {"user_id": "session_id", "item_id": "item_id", "timestamp": "timestamp"},
        recipe={"split": {"kind": "session", "validation": 0.1, "test": 0.1}},
    ),
    Layout(
        "Diginetica",
        diginetica,
        {"user_id": "sessionId", "item_id": "itemId", "timestamp": "eventdate"},
        recipe={"split": {"kind": "session", "validation": 0.1, "test": 0.1}},
    ),
    Layout(
        "Steam-200k",
        steam,
        {"user_id": "user_id", "item_id": "item_id", "signals": {"event": "event"}},
        recipe={"features": {"positive": {"event": ["purchase", "play"]}}},
    ),
    Layout(
        "Gowalla",
        gowalla,
        {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp"},
    ),
    Layout(
        "H&M",
        hm,
        {"user_id": "customer_id", "item_id": "article_id", "timestamp": "t_dat"},
        items=("article_id", {"prod_name": "title", "product_type_name": "category"}),
        users=("customer_id", {"club_member_status": "category", "age": "number"}),
    ),
    Layout(
        "German export",
        german,
        {
            "user_id": "Kundennummer",
            "item_id": "Artikelnummer",
            "timestamp": "Datum",
            "signals": {"strength": "Menge"},
            "reading": {"separator": ";", "date_format": "%d.%m.%Y %H:%M"},
        },
        items=("Artikelnummer", {"Kategorie": "category", "Preis": "number"}),
    ),
    Layout(
        "Instacart",
        instacart,
        {"user_id": "order_id", "item_id": "product_id"},
        items=("product_id", {"product_name": "title", "department_id": "category"}),
    ),
    Layout(
        "Online Retail (UCI)",
        retail_uci,
        {"user_id": "CustomerID", "item_id": "StockCode", "timestamp": "InvoiceDate"}
        | {"signals": {"strength": "Quantity"}},
        source={"on_null_id": "drop", "types": {"CustomerID": "integer"}},
    ),
    Layout(
        "Exposures with clicks",
        exposures,
        {"user_id": "uid", "item_id": "sku", "timestamp": "ts", "signals": {"click": "clicked"}},
        recipe={"features": {"positive": {"click": 1}}},
    ),
    Layout(
        "Given splits, UTF-16",
        given_splits,
        {"user_id": "utilisateur", "item_id": "produit", "split": "part"},
        recipe={"split": {"kind": "given"}},
    ),
    Layout("Ali-CCP", ali_ccp, source={"kind": "aliccp"}),
    Layout("MIND", mind, source={"kind": "mind"}),
    Layout("EB-NeRD", ebnerd, source={"kind": "ebnerd"}),
]
