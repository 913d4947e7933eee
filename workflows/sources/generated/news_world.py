"""A seeded world of news: what its articles say, who reads them, and what each would choose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from towermill.columns import ITEM_ID, PUBLISHED
from towermill.workflows.sources.generated.world import Floats, Ints, draw, zipf_weights

DAY = 86_400_000_000  # in microseconds, as all times here
START = 1_704_067_200_000_000  # 2024-01-01 00:00:00 UTC
#: Hours after which an article is shown about a third as often, were articles few.
_FRESH_HOURS = 6
#: Where articles are many, at most this many of the newest count as those of these hours.
_FRESH_AT_MOST = 64
#: An article that is shown is among the newest this many times `fresh`.
_REACH = 4

COMMON_WORDS, TOPIC_WORDS = 200, 60
SHORTEST_TITLE, LONGEST_TITLE = 5, 12
#: Share of a title's words that its topics give.
_TOPICAL = 0.6
#: How much of an article its first topic is.
_FIRST_TOPIC = 0.75
#: Deviation of what makes an article draw everyone: by its topic, and by nothing that it says.
_TOPIC_APPEAL, _OWN_APPEAL = 0.4, 0.3
_SENTIMENTS = ("Negative", "Neutral", "Positive")
_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "st")
_VOWELS = ("a", "e", "i", "o", "u")


@dataclass(frozen=True)
class NewsWorld:
    """Articles and readers by index, from 0, and what decides their clicks.

    Attributes
    ----------
    published
        (articles,) rising times, in microseconds since 1970.
    appeal
        (articles,) float32: what every reader's score has of an article.
    topics
        (articles, 2): the first topic, three quarters of the article, and the second.
    tastes
        (users, topics) float32, rows of mean 0 and deviation 1.
    activity
        (users,) float32: the share of all impressions that are theirs.
    anonymous
        (users,) bool: of whom no history is kept.
    taste
        How much a reader's taste matters next to appeal and chance.
    """

    published: Ints
    appeal: Floats
    topics: Ints
    tastes: Floats
    activity: Floats
    anonymous: npt.NDArray[np.bool_]
    taste: float

    def scores(self, users: Ints, shown: Ints) -> Floats:
        """Return the true scores (rows, n) of the articles `shown` (rows, n) to `users` (rows,).

        A reader clicks article i with chance exp(score_i) / sum of exp(score) over the slate: no
        ranking does better than one by these scores.
        """
        first, second = (self.tastes[users[:, None], self.topics[shown, k]] for k in (0, 1))
        wanted = _FIRST_TOPIC * first + (1 - _FIRST_TOPIC) * second
        return np.asarray(self.taste * wanted + self.appeal[shown], np.float32)

    @property
    def fresh(self) -> int:
        """How many of the newest articles are shown most."""
        span = self.published[-1] - self.published[0] + 1
        rate = len(self.published) / (span / DAY * 24)
        return int(np.clip(rate * _FRESH_HOURS, 6, _FRESH_AT_MOST))

    @property
    def reach(self) -> int:
        """How many of the newest articles can be shown at all."""
        return _REACH * self.fresh

    @property
    def opening(self) -> int:
        """The first time at which articles can be shown, a day from `START` or soon after it."""
        return max(START + DAY, int(self.published[self.reach]))

    def slates(self, times: Ints, size: int, rng: np.random.Generator) -> Ints:
        """Return (len(times), size) different articles published before each time, shuffled.

        The newer an article, the likelier it is shown. At least `reach` articles should be out
        before the first of `times`, as there are from `opening` on.
        """
        newest = np.searchsorted(self.published, times)
        age = np.arange(self.reach)
        keys = rng.gumbel(size=(len(times), self.reach)) - age / self.fresh
        # The greatest of such keys are a draw without replacement by exp(-age / fresh).
        chosen = np.argpartition(-keys, size - 1, axis=1)[:, :size]
        chosen = rng.permuted(chosen, axis=1)
        return np.asarray(newest[:, None] - 1 - chosen)


def build_news_world(
    *, users: int, articles: int, topics: int, taste: float, days: float, seed: int
) -> NewsWorld:
    """Return the world of a seed, of which the articles come out over `days` from `START`."""
    rng = np.random.default_rng([seed, 0])
    published = START + np.sort(rng.random(articles) * days * DAY).astype(np.int64)
    first = draw(zipf_weights(topics, 0.5, rng), articles, rng)
    second = rng.integers(topics, size=articles)
    appeal = _TOPIC_APPEAL * rng.standard_normal(topics)[first]
    appeal = appeal + _OWN_APPEAL * rng.standard_normal(articles)
    # Few topics that a reader likes, many that they do not: exponentials, standardised.
    tastes = rng.exponential(size=(users, topics)) ** 2
    tastes = tastes - tastes.mean(axis=1, keepdims=True)
    tastes /= np.maximum(tastes.std(axis=1, keepdims=True), 1e-9)
    activity = zipf_weights(users, 0.5, rng)
    return NewsWorld(
        published=published,
        appeal=appeal.astype(np.float32),
        topics=np.stack([first, second], axis=1),
        tastes=tastes.astype(np.float32),
        activity=activity,
        anonymous=rng.random(users) < 0.04,
        taste=taste,
    )


def describe_articles(world: NewsWorld, rng: np.random.Generator) -> pl.DataFrame:
    """Return item_id (from 1), published, title, category, sentiment_label, topics.

    Titles are of words that their article's topics have to themselves and of words that all
    share, each drawn by Zipf's law. A category holds two topics, so that a title says more than
    it; the sentiment leans by topic. ``topics`` names the first alone.
    """
    count, topics = len(world.published), world.tastes.shape[1]
    words = pl.Series(invent_words(COMMON_WORDS + topics * TOPIC_WORDS, rng))
    shape = (count, LONGEST_TITLE)
    common = draw(_zipf(COMMON_WORDS), shape, rng)
    rank = draw(_zipf(TOPIC_WORDS), shape, rng)
    of_second = rng.random(shape) >= _FIRST_TOPIC
    topic = np.where(of_second, world.topics[:, 1:], world.topics[:, :1])
    topical = rng.random(shape) < _TOPICAL
    word = np.where(topical, COMMON_WORDS + topic * TOPIC_WORDS + rank, common)
    length = rng.integers(SHORTEST_TITLE, LONGEST_TITLE + 1, size=count)

    leaning = rng.dirichlet((2.0, 2.0, 2.0), size=topics).cumsum(axis=1)
    point = rng.random((count, 1))
    feeling = (point > leaning[world.topics[:, 0], :2]).sum(axis=1)
    first = pl.Series(world.topics[:, 0])
    text = words.gather(pl.Series(word.ravel())).reshape(shape).arr.to_list()
    frame = pl.DataFrame(
        {
            ITEM_ID: pl.int_range(1, count + 1, eager=True),
            PUBLISHED: pl.Series(world.published).cast(pl.Datetime("us")),
            "title": text,
            "length": length,
            "first": first,
            "sentiment_label": np.array(_SENTIMENTS)[feeling],
        }
    )
    title = pl.col("title").list.head("length").list.join(" ")
    return frame.select(
        ITEM_ID,
        PUBLISHED,
        pl.concat_str(title.str.slice(0, 1).str.to_uppercase(), title.str.slice(1)).alias("title"),
        pl.format("category-{}", pl.col("first") // 2).alias("category"),
        "sentiment_label",
        pl.concat_list(pl.format("topic-{}", "first")).alias("topics"),
    )


def _zipf(count: int) -> Floats:
    return (1 / np.arange(1, count + 1)).astype(np.float32)


def invent_words(count: int, rng: np.random.Generator) -> list[str]:
    """Return so many different words of three syllables."""
    syllables = np.array([onset + vowel for onset in _ONSETS for vowel in _VOWELS])
    # Numbers to the base of the syllables' count: different numbers make different words.
    base = len(syllables)
    number = rng.choice(base**3, size=count, replace=False)
    parts = [syllables[number // base**place % base] for place in range(3)]
    ends = np.array(["", "n", "r", "s"])[rng.integers(4, size=count)]
    return ["".join(letters) for letters in zip(*parts, ends, strict=True)]
