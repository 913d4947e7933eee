"""FunkSVD learning from single clicks: a gradient step on the rows that a click touches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from towermill.models.configs.funk_svd import FunkSVDConfig

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def focal_gradient(logits: Floats, positive: NDArray[np.bool_], config: FunkSVDConfig) -> Floats:
    """Return the derivative by each logit of the loss that `funk_svd` trains by.

    Parameters
    ----------
    logits, positive
        Arrays of one shape.
    config
        Gives `gamma`, `balance` and `label_smoothing`.
    """
    half = config.label_smoothing / 2
    target = np.where(positive, 1 - half, half)
    chance = 1 / (1 + np.exp(-logits))
    right = target * chance + (1 - target) * (1 - chance)
    entropy = np.logaddexp(0, logits) - target * logits
    balance = target * config.balance + (1 - target) * (1 - config.balance)
    wrong = np.maximum(1 - right, 1e-7)
    slope = (2 * target - 1) * chance * (1 - chance)
    gradient = wrong**config.gamma * (chance - target)
    gradient -= config.gamma * wrong ** (config.gamma - 1) * slope * entropy
    return np.asarray(balance * gradient, np.float32)


class OnlineFactors:
    """The embeddings of a FunkSVD, which clicks change.

    Parameters
    ----------
    users, items
        float32 ``(n, factors + 2)``, as its towers give them: ``[p, b, 1]`` and ``[q, 1, b]``.
        They are copied. The last row of `users` is for unknown users; new rows are copies of it.
    config
        The model that they are of: its loss, and how many negatives are drawn.
    learning_rate
        Learning rate of a click's step.
    seed
        Seed of the negatives.
    """

    def __init__(
        self, users: Floats, items: Floats, config: FunkSVDConfig, learning_rate: float, seed: int
    ) -> None:
        self.users, self.items = users.copy(), items.copy()
        self._unknown_user = self.users[-1:].copy()
        self.config, self.learning_rate = config, learning_rate
        self.rng = np.random.default_rng([seed, 21])

    def learn(self, users: Ints, items: Ints, met: list[set[int]], passed: list[list[int]]) -> None:
        """Take one gradient step for clicks of `users` on `items`, rows ``(clicks,)`` each.

        A click's loss is that of its pair and of 8 to 14 negatives (`num_negatives`): first those
        that were passed over, then others drawn uniformly. Each pair has weight 1, and `l2` is on
        its rows as in training. All gradients of a call are taken at the weights before it. Where
        clicks share a row, of an item that two users touched, say, their gradients are summed: the
        step is that of the sum of the clicks' losses, and their order is of no matter.

        Parameters
        ----------
        met
            For each click, items that are no negatives: those that the user has clicked.
        passed
            For each click, items that are negatives before any that are drawn: those shown with it,
            say, and not clicked (Wu et al., EMNLP 2019, sample so from impressions).
        """
        if not len(users):
            return
        self._reserve(int(users.max()))
        least, most = self.config.num_negatives
        drawn = self.rng.integers(len(self.items), size=(len(users), most))
        counts = self.rng.integers(least, most + 1, size=len(users))
        for row, shown in zip(drawn, passed, strict=True):
            row[: len(shown)] = shown[:most]
        kept = np.arange(most) < counts[:, None]
        rows = zip(drawn.tolist(), met, strict=True)
        kept &= ~np.array([[item in own for item in row] for row, own in rows])
        pairs = np.concatenate([items[:, None], drawn], axis=1)
        weights = np.concatenate([np.ones((len(users), 1)), kept], axis=1)
        query, item = self.users[users], self.items[pairs]
        positive = np.zeros(pairs.shape, bool)
        positive[:, 0] = True
        gradient = focal_gradient(np.einsum("rd,rnd->rn", query, item), positive, self.config)
        gradient = gradient * weights
        decay = 2 * self.config.l2
        of_users = np.einsum("rn,rnd->rd", gradient, item)
        of_users += decay * weights.sum(axis=1, keepdims=True) * query
        of_items = gradient[..., None] * query[:, None] + decay * weights[..., None] * item
        of_users[:, -1] = 0  # the ones are no parameters
        of_items[..., -2] = 0
        touched = weights > 0
        rate = np.float32(self.learning_rate)
        np.subtract.at(self.users, users, rate * of_users)
        np.subtract.at(self.items, pairs[touched], (rate * of_items[touched]).astype(np.float32))

    def scores(self, rows: list[int]) -> Floats:
        """Return the scores of all items for these users, ``(rows, items)``."""
        self._reserve(max(rows))
        return np.asarray(self.users[rows] @ self.items.T)

    def _reserve(self, row: int) -> None:
        """Add rows up to `row`, each a copy of the initial row of unknown users."""
        more = row + 1 - len(self.users)
        if more > 0:
            self.users = np.concatenate([self.users, np.repeat(self._unknown_user, more, axis=0)])

    def weights(self) -> dict[str, Floats]:
        """Return copies of both tables."""
        return {"users": self.users.copy(), "items": self.items.copy()}

    def restore(self, weights: dict[str, Floats]) -> None:
        """Take over what `weights` returned."""
        self.users, self.items = weights["users"].copy(), weights["items"].copy()
