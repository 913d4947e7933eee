"""Commands on a bundle: recommend, verify, serve and export."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from towermill.cli.show import show_gates, show_items, show_steps
from towermill.cli.terminal import print_json, say

app = typer.Typer()

BundleArgument = Annotated[Path, typer.Argument(help="A bundle's folder.")]
ClusterOption = Annotated[
    str | None, typer.Option("--cluster", help="none, local, cuda, or a scheduler's address.")
]
Backend = Literal["onnxruntime", "tensorflow"]
TowerDevice = Literal["cpu", "gpu"]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


@app.command()
def recommend(
    bundle: Annotated[
        Path,
        typer.Argument(
            help="A bundle's folder, or a YAML file of a blend or a funnel; with --split a run's "
            "folder, runs/<recipe>/latest, or a funnel."
        ),
    ],
    user: Annotated[str | None, typer.Option("--user", help="The user's raw id.")] = None,
    history: Annotated[
        str | None,
        typer.Option("--history", help="Instead of a user: comma-separated ids of the items read."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Include items that the user has seen.")
    ] = False,
    everyone: Annotated[
        bool, typer.Option("--all", help="Recommend to all users; needs --out.")
    ] = False,
    users: Annotated[
        Path | None,
        typer.Option(
            "--users", help="Recommend to the users in this file's user_id column; needs --out."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="Queries that the evaluation ranks, test or validation, by the recipe's "
            "`evaluate`; needs --out.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Parquet file to write, with --all, --users or --split."),
    ] = None,
    cluster: ClusterOption = None,
    as_json: JsonOption = False,
) -> None:
    """Recommend items for a user, for a history, for all users, or for held-out queries."""
    from towermill.pipelines.recommend.open import open_recommender
    from towermill.pipelines.search.exact import check_k

    check_k(k)
    given = [user is not None, history is not None, everyone, users is not None, split is not None]
    if sum(given) != 1:
        raise typer.BadParameter("Give one of --user, --history, --all, --users and --split.")
    if out is not None and out.suffix in (".csv", ".tsv", ".json", ".jsonl", ".txt"):
        raise typer.BadParameter(f"--out is a Parquet file: end it in .parquet. Received: {out}")
    if any(given[2:]) != (out is not None):
        raise typer.BadParameter(
            "--all, --users and --split need --out; --user and --history do not take it."
        )
    if split is not None and out is not None:
        if keep_seen or cluster:
            raise typer.BadParameter(
                "--split takes no --keep-seen, as `evaluate.filter_seen` of the recipe decides, "
                "and no --cluster."
            )
        _recommend_split(bundle, out, split, k, as_json)
        return
    if out is not None:
        _recommend_all(bundle, out, k, not keep_seen, users, cluster, as_json)
        return
    if cluster:
        raise typer.BadParameter("--cluster is for --all and --users.")
    opened = open_recommender(bundle)
    read = None if history is None else [name.strip() for name in history.split(",")]
    found = opened.recommend(user, k, filter_seen=not keep_seen, history=read)
    if not found.known:
        who = f"User {user!r} is not" if history is None else "Nothing of the history is"
        say(
            f"{who} known to this bundle: served as out of vocabulary, which is the same for every "
            "new user."
        )
    if as_json:
        print_json(found.items)
        return
    show_items(found.items, opened.title)


@app.command()
def evaluate(
    funnel: Annotated[Path, typer.Argument(help="A YAML file of a funnel.")],
    as_json: JsonOption = False,
) -> None:
    """Show what each step of a funnel gains on the test split of its retriever's run."""
    from towermill.pipelines.recommend.combined.evaluation import Evaluation

    found = Evaluation.of(funnel).report()
    if as_json:
        print_json(found)
    else:
        show_steps(found)


@app.command()
def verify(bundle: BundleArgument, as_json: JsonOption = False) -> None:
    """Check a bundle with every gate that needs no training data; exit with 1 if one fails."""
    from towermill.pipelines.gates.gates import examine

    found = examine(bundle)
    if as_json:
        print_json(found)
    else:
        show_gates(found)
    if not all(gate["passed"] for gate in found):
        raise typer.Exit(1)


@app.command()
def export(
    bundle: BundleArgument,
    triton: Annotated[
        Path, typer.Option("--triton", help="Write a Triton model repository into this folder.")
    ],
    backend: Annotated[
        Backend, typer.Option("--backend", help="Backend of the query tower.")
    ] = "onnxruntime",
    device: Annotated[
        TowerDevice, typer.Option("--device", help="Device of the query tower.")
    ] = "cpu",
) -> None:
    """Export a bundle for another server."""
    from towermill.pipelines.triton.repository import write_model_repository

    typer.echo(write_model_repository(bundle, triton, backend=backend, device=device))


@app.command()
def serve(
    bundle: Annotated[
        Path,
        typer.Argument(
            help="A bundle's folder, a link to one, or a YAML file of a blend or a funnel."
        ),
    ],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes any free one.")] = 8000,
    watch: Annotated[
        float | None, typer.Option("--watch", help="Seconds between checks for a newer bundle.")
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option("--api-key-file", help="File with the API key. Default: $TOWERMILL_API_KEY."),
    ] = None,
    max_k: Annotated[int, typer.Option(help="Maximum number of items in an answer.")] = 1000,
    max_queries: Annotated[int, typer.Option(help="Maximum queries or ids in a batch call.")] = 256,
    max_ids: Annotated[
        int, typer.Option(help="Maximum ids in history, exclude and candidates, each.")
    ] = 10_000,
    max_body: Annotated[int, typer.Option(help="Maximum size of a request's body, in bytes.")] = 2
    ** 20,
    max_batch: Annotated[int, typer.Option(help="Maximum queries computed together.")] = 64,
    max_queue: Annotated[
        int, typer.Option(help="Maximum waiting queries; further ones get 503.")
    ] = 1024,
    wait: Annotated[float, typer.Option(help="Seconds a query waits for others.")] = 0.002,
    threads: Annotated[int, typer.Option(help="Batches computed concurrently.")] = 2,
    timeout: Annotated[
        float, typer.Option(help="Seconds until a request is answered with 504.")
    ] = 10.0,
    shutdown_timeout: Annotated[
        float, typer.Option(help="Seconds that running requests have after SIGTERM.")
    ] = 30.0,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Serve a bundle, a blend or a funnel over HTTP, with a page to explore it."""
    from towermill.pipelines.recommend.open import manifests_of, open_recommender
    from towermill.pipelines.server.command import serve as serve_bundle
    from towermill.pipelines.server.settings import Settings, read_api_key

    settings = Settings(
        max_k=max_k,
        max_queries=max_queries,
        max_ids=max_ids,
        max_body=max_body,
        max_batch=max_batch,
        max_queue=max_queue,
        wait=wait,
        threads=threads,
        timeout=timeout,
        api_key=read_api_key(api_key_file),
        watch=watch,
    )
    serve_bundle(
        bundle,
        host,
        port,
        settings,
        shutdown_timeout=shutdown_timeout,
        log_level=log_level,
        opener=partial(open_recommender, verify=True),
        watched=manifests_of,
    )


def _recommend_split(run: Path, out: Path, split: str, k: int, as_json: bool) -> None:
    from towermill.pipelines.recommend.for_split import recommend_split

    written = recommend_split(run, out, split, k)
    if as_json:
        print_json(vars(written) | {"out": out})
    else:
        typer.echo(f"{written.queries} queries, {written.rows} rows: {out}")


def _recommend_all(
    bundle: Path,
    out: Path,
    k: int,
    filter_seen: bool,
    users: Path | None,
    cluster: str | None,
    as_json: bool,
) -> None:
    from towermill.runtime.device import resolve

    runtime = resolve("cpu", cluster or "none")
    from towermill.pipelines.recommend.for_all import recommend_all

    written = recommend_all(bundle, out, k, filter_seen=filter_seen, users=users, runtime=runtime)
    if written.unknown:
        say(f"{written.unknown} users of {users} are unknown to this bundle and left out.")
    if as_json:
        print_json(vars(written) | {"out": out})
    else:
        typer.echo(f"{written.users} users, {written.rows} rows: {out}")
