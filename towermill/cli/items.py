"""Commands about the items of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from towermill.cli.bundle import BundleArgument, JsonOption
from towermill.cli.show import show_items
from towermill.cli.terminal import print_json
from towermill.registry import trusts

app = typer.Typer()


@app.command()
def similar(
    bundle: BundleArgument,
    item: Annotated[str, typer.Argument(help="Raw id of an item.")],
    k: Annotated[int, typer.Option("-k", help="Number of items.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show the items whose embeddings are most similar to an item's."""
    from towermill.pipelines.bundle.bundle import Bundle

    opened = Bundle.open(bundle)
    found = opened.similar(item, k)
    if as_json:
        print_json(found)
    else:
        show_items(found, opened.title)


@app.command("embed-items")
def embed_items(
    bundle: BundleArgument,
    items: Annotated[
        Path, typer.Argument(help="File of items with their raw columns: Parquet or CSV.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")] = Path(
        "item_embeddings.parquet"
    ),
) -> None:
    """Compute item embeddings, including for new items."""
    from towermill.pipelines.recommend.embed_items import embed_items as embed

    rows = embed(bundle, items, out, trust=trusts())
    typer.echo(f"{rows} items: {out}")


@app.command("add-items")
def add_items(
    bundle: BundleArgument,
    items: Annotated[Path, typer.Argument(help="File of new items with their raw columns.")],
    to: Annotated[Path, typer.Option("--to", help="Folder of the new bundle.")],
) -> None:
    """Write a bundle with new items, recommended by their features, without training again."""
    from towermill.pipelines.recommend.add_items import add_items as add

    rows = add(bundle, items, to, trust=trusts())
    typer.echo(f"{rows} new items: {to}")
