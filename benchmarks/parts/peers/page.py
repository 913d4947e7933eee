"""The page docs/peers.md and its plot."""

from __future__ import annotations

import os
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

TITLES = {
    "random": "MovieLens-100K, each user's ratings cut 8:1:1 at random",
    "leave_one_out": "MovieLens-100K, leave one out by time",
    "time": "MovieLens-100K, the last tenths of all rows by time",
    "random-1m": "MovieLens-1M, each user's ratings cut 8:1:1 at random",
}
HEAD = """# Towermill beside other libraries

```
python benchmarks/peers.py
```

builds the splits, makes an environment for each library, tunes, trains, evaluates, and writes this
page. Every system reads the same rows and writes lists of 100 items, which one implementation of
the metrics evaluates.

![nDCG@10 against processor seconds of training]({plot})
"""
HOW = """
## How it was measured

- **Data**: every rating is a positive. The stage `process` makes the splits. Test rows of users or
  items without training rows are left out. A cut of all rows by time (`--splits time`) is not in
  the tables: only 66 of its test users have training rows.
- **Tuning**: the best of one to four settings (the column; `benchmarks/parts/peers/systems.py`) by
  nDCG@10 on the validation split with the first seed. All systems train on the training split
  alone; the chosen setting is not trained again with the validation rows. The settings of
  Towermill's history and blend were chosen in development on MovieLens-100K, those of the other
  systems for this page. The grids of implicit's ALS and BPR were replaced once, after first
  results: ALS had chosen the corner of its grid, and BPR was weak on test.
- **Left out**: RecBole's SASRec, whose 20 epochs did not end within 32 processor minutes on the
  split by time; RePlay, whose models need a Java machine or a training loop of one's own.
- **Ranking**: the whole catalogue, without the items that the user has in training and validation.
- **History at test time**: with *yes*, a test query holds the user's items of training and
  validation. ALS computes the user's factors from them. With *no*, the system has learned one
  embedding per user and cannot read new items without training.
- **Figures**: nDCG@10 and recall@10 are means over users, then over seeds; the smallest and largest
  nDCG@10 are in parentheses. A system without a number of seeds does not depend on one. The
  standard error over users of the difference between two systems is about 0.003 nDCG@10 on the
  first split, and 0.008 on the second, where each user has one answer. coverage@10 is the share
  of the catalogue in at least one list of ten.
- **Lines** of code: the library's script in `benchmarks/parts/peers/fits`, or Towermill's recipe,
  without blank lines and docstrings. A script of several models counts whole for each. Code that
  all libraries share (`harness.py`) does not count.
- **Processor seconds**: training of the chosen setting, in one process with one thread, on a shared
  machine; median of seeds. Imports are not counted. Towermill's are those of its stage `train`,
  with reading the data, ranking the validation split during training, and writing the weights.
- **Versions**:
{versions}.
"""


def write_page(
    results: Sequence[dict[str, Any]],
    page: Path,
    environments: dict[str, tuple[str, ...]],
) -> None:
    """Write the page, and the plot beside it in ``images``."""
    plot = page.parent / "images" / "peers.svg"
    plot.parent.mkdir(parents=True, exist_ok=True)
    _plot(results, plot)
    text = HEAD.format(plot=os.path.relpath(plot, page.parent))
    for split in dict.fromkeys(row["split"] for row in results):
        text += f"\n## {TITLES[split]}\n\n"
        text += _table([row for row in results if row["split"] == split])
    versions = ", ".join(
        dict.fromkeys(
            requirement.replace("==", " ").replace("[torch]", "")
            for requirements in environments.values()
            for requirement in requirements
            if not requirement.startswith(("pandas", "pyarrow", "setuptools", "scipy", "numpy"))
        )
    )
    wrapped = textwrap.fill(versions, 98, initial_indent="  ", subsequent_indent="  ")
    text += HOW.format(versions=wrapped)
    page.write_text(text)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    head = ("system", "lines", "history at test time", "settings", "seeds", "nDCG@10")
    head = (*head, "recall@10", "coverage@10", "processor s")
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in sorted(rows, key=lambda row: -mean(row, "ndcg@10")):
        own = row["system"].startswith("Towermill")
        ndcg = [run["ndcg@10"] for run in row["runs"]]
        spread = f" ({min(ndcg):.4f} to {max(ndcg):.4f})" if len(ndcg) > 1 else ""
        cells = (
            f"**{row['system']}**" if own else row["system"],
            str(row["lines"]),
            "yes" if row["history"] else "no",
            str(len(row["tried"])),
            str(len(ndcg)) if row["random"] else "",
            f"{mean(row, 'ndcg@10'):.4f}{spread}",
            f"{mean(row, 'recall@10'):.4f}",
            f"{mean(row, 'coverage@10'):.3f}",
            f"{seconds(row):.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    first = rows[0]["runs"][0]
    note = f"\n{first['users']:,} users are ranked for"
    if first["short"]:
        short = ", ".join(f"{row['system']} {mean(row, 'short ndcg@10'):.4f}" for row in rows)
        note += (
            f". {first['short']} of them have at most one item in the history; their nDCG@10: "
            f"{short}"
        )
    else:
        note += "; all have two or more items in the history"
    return "\n".join(lines) + "\n" + note + ".\n"


def mean(row: dict[str, Any], name: str) -> float:
    """Return the mean of a metric over the runs of a row."""
    return statistics.fmean(run[name] for run in row["runs"])


def seconds(row: dict[str, Any]) -> float:
    """Return the median of the processor seconds of training."""
    return statistics.median(run["seconds"] for run in row["runs"])


def _plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    splits = list(dict.fromkeys(row["split"] for row in results))
    mpl.rcParams |= {"svg.hashsalt": "peers", "font.size": 8, "svg.fonttype": "none"}
    figure, axes = plt.subplots(
        len(splits), 1, figsize=(8, 3.6 * len(splits)), squeeze=False, layout="constrained"
    )
    for axis, split in zip(axes[:, 0], splits, strict=True):
        rows = [row for row in results if row["split"] == split]
        rows.sort(key=lambda row: -mean(row, "ndcg@10"))
        for nth, row in enumerate(rows):
            color = "tab:red" if row["system"].startswith("Towermill") else "tab:gray"
            at = seconds(row), mean(row, "ndcg@10")
            axis.plot(*at, "o", color=color)
            # The names in a column, the best at the top, each with a line to its point.
            axis.annotate(
                row["system"],
                at,
                xytext=(1.04, 0.98 - 0.96 * nth / max(len(rows) - 1, 1)),
                textcoords="axes fraction",
                va="center",
                color=color if color == "tab:red" else "black",
                arrowprops={
                    "arrowstyle": "-",
                    "color": color,
                    "alpha": 0.4,
                    "linewidth": 0.6,
                    "relpos": (0, 0.5),
                },
            )
        axis.set(xscale="log", title=TITLES[split], ylabel="nDCG@10")
        axis.margins(x=0.05, y=0.08)
        axis.grid(alpha=0.3)
    axes[-1, 0].set_xlabel("processor seconds of training")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
