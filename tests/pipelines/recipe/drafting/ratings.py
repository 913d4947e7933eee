"""Layouts of ratings, reviews and listening."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import polars as pl
from layouts import (
    GENRES,
    ITEMS,
    USERS,
    Layout,
    jsonl,
    parts_of,
    prose,
    rows,
    table,
    title,
)

FOUR = {"kind": "time", "validation": 0.1, "test": 0.1}


def movielens_100k() -> Mapping[str, Any]:
    return {"u.data": table(None, [(r.user, r.item, r.stars, r.at) for r in rows()], "\t")}


def movielens_100k_folder() -> Mapping[str, Any]:
    user = [(n, 20 + n % 40, "MF"[n % 2], "other", "12345") for n in range(1, USERS + 1)]
    flags = ["1", *["0"] * (len(GENRES) - 1)]
    item = [(n, f"{title(n)} (1990)", "01-Jan-1990", "", "http://x", *flags) for n in range(1, 91)]
    return {
        **movielens_100k(),
        "u.user": table(None, user, "|"),
        "u.item": table(None, item, "|").encode("latin-1"),
        "u.genre": table(None, [(name, n) for n, name in enumerate(GENRES)], "|"),
    }


def movielens_1m() -> Mapping[str, Any]:
    user = [(n, "MF"[n % 2], 25, n % 20, "12345") for n in range(1, USERS + 1)]
    film = [(n, f"{title(n)} (1990)", "|".join(parts_of(GENRES, n))) for n in range(1, ITEMS + 1)]
    return {
        "ml-1m/ratings.dat": table(None, [(r.user, r.item, r.stars, r.at) for r in rows()], "::"),
        "ml-1m/users.dat": table(None, user, "::"),
        "ml-1m/movies.dat": table(None, film, "::"),
    }


def movielens_25m() -> Mapping[str, Any]:
    log = [(r.user, r.item, f"{r.stars - 0.5}", r.at) for r in rows()]
    film = [(n, f"{title(n)} (1990)", "|".join(parts_of(GENRES, n))) for n in range(1, ITEMS + 1)]
    return {
        "ml-25m/ratings.csv": table(["userId", "movieId", "rating", "timestamp"], log),
        "ml-25m/movies.csv": table(["movieId", "title", "genres"], film),
        "ml-25m/README.txt": "MovieLens",
    }


def movielens_renamed() -> Mapping[str, Any]:
    files = {name.replace("movies", "films"): text for name, text in movielens_25m().items()}
    tags = [(r.user, r.item, "funny", r.at) for r in rows()[:50]]
    return files | {"ml-25m/tags.csv": table(["userId", "movieId", "tag", "timestamp"], tags)}


def lastfm_1k() -> Mapping[str, Any]:
    def uuid(n: int) -> str:
        return f"{n:08x}-1c06-4ea4-a086-71f797854af5"

    log = [
        (
            f"user_{r.user:06d}",
            r.when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            uuid(r.item % 30),
            f"Artist {r.item % 30}",
            uuid(1000 + r.item),
            title(r.item),
        )
        for r in rows()
    ]
    return {"userid-timestamp-artid-artname-traid-traname.tsv": table(None, log, "\t")}


def hetrec_lastfm() -> Mapping[str, Any]:
    pairs = sorted({(r.user, r.item) for r in rows()})
    draw = random.Random(1)
    log = [(u, i, draw.randint(1, 5000)) for u, i in pairs]
    artists = [
        (n, title(n), f"http://www.last.fm/music/{n}", f"http://img/{n}.jpg")
        for n in range(1, ITEMS + 1)
    ]
    friends = [(u, v) for u in range(1, USERS) for v in range(u + 1, min(u + 4, USERS))]
    tags = [(n, f"tag {n}") for n in range(1, 30)]
    tagged = [(u, i, 1 + (u + i) % 29, 1, 4, 2009) for u, i in pairs[:200]]
    return {
        "user_artists.dat": table(["userID", "artistID", "weight"], log, "\t"),
        "artists.dat": table(["id", "name", "url", "pictureURL"], artists, "\t"),
        "user_friends.dat": table(["userID", "friendID"], friends, "\t"),
        "tags.dat": table(["tagID", "tagValue"], tags, "\t"),
        "user_taggedartists.dat": table(
            ["userID", "artistID", "tagID", "day", "month", "year"], tagged, "\t"
        ),
    }


def amazon() -> Mapping[str, Any]:
    reviews = [
        {
            "reviewerID": f"A{r.user:013d}",
            "asin": f"B{r.item:09d}",
            "reviewerName": f"Reader {r.user}",
            "helpful": [r.stars, r.stars + 1],
            "reviewText": prose(n),
            "overall": float(r.stars),
            "summary": prose(n, 8),
            "unixReviewTime": r.at - r.at % 86400,
            "reviewTime": r.when.strftime("%m %d, %Y"),
            "style": {"Format:": "Hardcover"},
        }
        for n, r in enumerate(rows())
    ]
    return {"reviews_Books_5.json.gz": jsonl(reviews)}


def yelp() -> Mapping[str, Any]:
    review = [
        {
            "review_id": f"r{n:020d}",
            "user_id": f"u{r.user:020d}",
            "business_id": f"b{r.item:020d}",
            "stars": float(r.stars),
            "useful": n % 3,
            "funny": n % 2,
            "cool": 0,
            "text": prose(n),
            "date": r.when.strftime("%Y-%m-%d %H:%M:%S"),
        }
        for n, r in enumerate(rows())
    ]
    business = [
        {
            "business_id": f"b{n:020d}",
            "name": title(n),
            "address": f"{n} Main St",
            "city": ["Tampa", "Reno"][n % 2],
            "postal_code": f"{33600 + n % 9}",
            "latitude": 27.9 + n / 1000,
            "stars": 3.5 + n % 3 / 2,
            "review_count": n * 7,
            "attributes": {"WiFi": "free"},
            "categories": ", ".join(parts_of(["Pizza", "Bars", "Cafes", "Sushi"], n)),
        }
        for n in range(1, ITEMS + 1)
    ]
    user = [
        {
            "user_id": f"u{n:020d}",
            "name": f"Name {n}",
            "review_count": n,
            "yelping_since": f"20{10 + n % 9}-01-25 16:47:26",
            "average_stars": 3.9,
            "fans": n % 7,
        }
        for n in range(1, USERS + 1)
    ]
    return {
        "yelp_academic_dataset_review.json": jsonl(review),
        "yelp_academic_dataset_business.json": jsonl(business),
        "yelp_academic_dataset_user.json": jsonl(user),
    }


def goodreads() -> Mapping[str, Any]:
    log = [(r.user, r.item, n % 2, r.stars * (n % 2), 0) for n, r in enumerate(rows())]
    header = ["user_id", "book_id", "is_read", "rating", "is_reviewed"]
    ids = [(n, f"{n * 31:032x}") for n in range(1, USERS + 1)]
    return {
        "goodreads_interactions.csv": table(header, log),
        "user_id_map.csv": table(["user_id_csv", "user_id"], ids),
    }


def book_crossing() -> Mapping[str, Any]:
    def quoted(*fields: Any) -> list[str]:
        return [f'"{field}"' if field is not None else "NULL" for field in fields]

    log = [quoted(r.user, f"{r.item:09d}X", r.stars * 2) for r in rows()]
    books = [
        quoted(
            f"{n:09d}X",
            title(n).replace("a", "ä"),
            f"Writer {n % 20}",
            1980 + n % 25,
            f"House {n % 9}",
            f"http://img/{n}.jpg",
        )
        for n in range(1, ITEMS + 1)
    ]
    cities = ["nyc, new york, usa", "berlin, berlin, germany", "porto, porto, portugal"]
    users = [quoted(n, cities[n % 3], None if n % 3 else 20 + n % 40) for n in range(1, USERS + 1)]
    header = quoted("ISBN", "Book-Title", "Book-Author", "Year-Of-Publication", "Publisher")
    return {
        "BX-Book-Ratings.csv": table(quoted("User-ID", "ISBN", "Book-Rating"), log, ";").encode(
            "latin-1"
        ),
        "BX-Books.csv": table([*header, '"Image-URL-S"'], books, ";").encode("latin-1"),
        "BX-Users.csv": table(quoted("User-ID", "Location", "Age"), users, ";").encode("latin-1"),
    }


def netflix() -> Mapping[str, Any]:
    log = [(r.user * 7, r.stars, f"{r.when:%Y-%m-%d}", r.item) for r in rows()]
    return {"netflix.csv": table(["Cust_Id", "Rating", "Date", "Movie_Id"], log)}


def recbole() -> Mapping[str, Any]:
    log = [(r.user, r.item, float(r.stars), r.at) for r in rows()]
    header = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    return {"ml-100k.inter": table(header, log, "\t")}


def spark() -> Mapping[str, Any]:
    log = rows()
    frame = pl.DataFrame(
        {
            "customerId": pl.Series([r.user for r in log], dtype=pl.Int32),
            "productId": [f"P-{r.item}" for r in log],
            "createdAt": pl.Series([r.when for r in log]).cast(pl.Datetime("us", "UTC")),
            "score": pl.Series([r.stars for r in log], dtype=pl.Float32),
            "tags": [["a"]] * len(log),
            "meta": [{"x": 1}] * len(log),
        }
    )
    half = len(log) // 2
    return {
        "log/part-00000-c0ffee.snappy.parquet": frame[:half],
        "log/part-00001-c0ffee.snappy.parquet": frame[half:],
        "log/_SUCCESS": "",
    }


LAYOUTS = [
    Layout(
        "MovieLens 100K, u.data alone",
        movielens_100k,
        {"user_id": "user_id", "item_id": "item_id", "rating": "rating", "timestamp": "timestamp"},
        given=["u.data"],
        recipe={"split": FOUR, "features": {"positive": {"rating": 4}}},
    ),
    Layout("MovieLens 100K", movielens_100k_folder, source={"kind": "movielens"}),
    Layout("MovieLens 1M", movielens_1m, given=["ml-1m"], source={"kind": "movielens"}),
    Layout(
        "MovieLens 1M, ratings.dat alone",
        movielens_1m,
        {"user_id": "user_id", "item_id": "item_id", "rating": "rating", "timestamp": "timestamp"},
        given=["ml-1m/ratings.dat"],
    ),
    Layout("MovieLens 25M", movielens_25m, given=["ml-25m"], source={"kind": "movielens"}),
    Layout(
        "MovieLens 25M, other names",
        movielens_renamed,
        {"user_id": "userId", "item_id": "movieId", "rating": "rating", "timestamp": "timestamp"},
        items=("movieId", {"title": "title", "genres": "list"}),
        given=["ml-25m"],
    ),
    Layout(
        "Last.fm 1K",
        lastfm_1k,
        {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp"},
    ),
    Layout(
        "Last.fm, HetRec",
        hetrec_lastfm,
        {"user_id": "userID", "item_id": "artistID", "signals": {"strength": "weight"}},
        items=("id", {"name": "title"}),
        recipe={"split": {"kind": "random", "by": "user", "validation": 0.1, "test": 0.1}},
    ),
    Layout(
        "Amazon reviews",
        amazon,
        {
            "user_id": "reviewerID",
            "item_id": "asin",
            "rating": "overall",
            "timestamp": "unixReviewTime",
        },
    ),
    Layout(
        "Yelp",
        yelp,
        {"user_id": "user_id", "item_id": "business_id", "rating": "stars", "timestamp": "date"},
        items=("business_id", {"name": "title", "city": "category", "categories": "list"}),
        users=("user_id", {"yelping_since": "age"}),
    ),
    Layout(
        "Goodreads",
        goodreads,
        {"user_id": "user_id", "item_id": "book_id", "rating": "rating"},
    ),
    Layout(
        "Book-Crossing",
        book_crossing,
        {"user_id": "User-ID", "item_id": "ISBN", "rating": "Book-Rating"},
        items=("ISBN", {"book_title": "title", "book_author": "category", "Publisher": "category"}),
        users=("User-ID", {"Location": "list", "Age": "number"}),
    ),
    Layout(
        "Netflix",
        netflix,
        {"user_id": "Cust_Id", "item_id": "Movie_Id", "rating": "Rating", "timestamp": "Date"},
    ),
    Layout(
        "RecBole",
        recbole,
        {
            "user_id": "user_id:token",
            "item_id": "item_id:token",
            "rating": "rating:float",
            "timestamp": "timestamp:float",
        },
    ),
    Layout(
        "Parquet of Spark",
        spark,
        {"user_id": "customerId", "item_id": "productId", "rating": "score"}
        | {"timestamp": "createdAt"},
        given=["log"],
    ),
]
