"""Text to token ids."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from towermill.errors import DataError
from towermill.workflows.text.checkpoints import TOKENIZER, model_folder
from towermill.workflows.text.config import WORD, TextConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.models import Model

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: Texts handed over at a time.
_BATCH = 10_000
#: Characters of a text that are looked at for each token kept: long texts cost no more than that.
_LETTERS = 32
#: What marks a token as the beginning of a word: SentencePiece's, and byte-level BPE's.
_WORD_MARKS = ("▁", "Ġ")


class TextTokenizer:
    """A tokenizer whose ids begin at 1.

    A token's id here is the id that the tokenizer itself gives it, plus one: 0 is padding, for all
    tokenizers, as in every list of encoded ids. A matrix of token embeddings so has `size` rows,
    and the tokenizer's id i has row i + 1.

    Parameters
    ----------
    tokenizer
        A tokenizer of the package ``tokenizers``. Its padding and truncation are dropped.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @classmethod
    def train(cls, texts: Iterable[str], config: TextConfig) -> TextTokenizer:
        """Train what `config.tokenizer` names, ``wordpiece`` or ``word``, on texts.

        The same texts give the same tokenizer, to the byte, in whatever order they come.

        Raises
        ------
        DataError
            If the texts hold no word.
        """
        return cls(trained(texts, config))

    @classmethod
    def open(cls, source: str) -> TextTokenizer:
        """Return the tokenizer of a model on Hugging Face, of a folder, or in a ``.json`` file.

        Raises
        ------
        DataError
            If there is none, or it is not of that form.
        SetupError
            If it cannot be fetched.
        """
        path = Path(source).expanduser()
        if path.suffix != ".json":
            path = model_folder(source, [TOKENIZER]) / TOKENIZER
        return cls._read(path)

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Return the tokenizer that `save` wrote into `folder`."""
        return cls._read(folder / TOKENIZER)

    @classmethod
    def _read(cls, path: Path) -> TextTokenizer:
        from tokenizers import Tokenizer

        if not path.is_file():
            raise DataError(
                f"There should be a tokenizer in the file {path}; there is no such file. Take a "
                "model that has one, or save it with transformers' AutoTokenizer, which writes one."
            )
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:  # the package raises Exception itself
            raise DataError(
                f"{path} should hold a tokenizer as the package `tokenizers` writes it: {error}. "
                "Fetch it again, or renew the package."
            ) from error

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json`` into `folder`, which must exist."""
        self.tokenizer.save(str(folder / TOKENIZER))

    @property
    def size(self) -> int:
        """Number of token ids, 0 for padding among them."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 2

    def words(self) -> list[str]:
        """Return the word of each id, from 0 on; empty for pieces within words."""
        model = json.loads(self.tokenizer.to_str())["model"]
        inner = model.get("continuing_subword_prefix") or ""
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        # Where beginnings of words are marked, what has no mark is a piece within one.
        marks = _WORD_MARKS if model["type"] in ("BPE", "Unigram") else ()
        few = len(vocabulary) / 100
        mark = next((m for m in marks if sum(t.startswith(m) for t in vocabulary) > few), "")
        decoder = self.tokenizer.decoder if mark == "Ġ" else None
        words = [""] * self.size
        for token, index in vocabulary.items():
            if (inner and token.startswith(inner)) or not token.startswith(mark):
                continue
            # Byte-level tokens spell non-ASCII text byte by byte; the decoder joins them.
            word = decoder.decode([token]) if decoder else token.removeprefix(mark)
            words[index + 1] = word.strip()
        return words

    def encode(self, texts: pl.Series, limit: int) -> pl.Series:
        """Return the token ids of texts.

        Parameters
        ----------
        texts
            Strings; null counts as empty.
        limit
            Most tokens of a text, the first ones.

        Returns
        -------
        Lists of Int32, one a text, none longer than `limit`, not padded. No special tokens ([CLS],
        [SEP], …) are added; words not in the vocabulary become the tokenizer's own unknown token.
        """
        if limit < 1:
            raise ValueError(f"`limit` should be at least 1. Received: limit={limit}.")
        filled = texts.fill_null("").str.head(limit * _LETTERS)
        self.tokenizer.enable_truncation(limit)
        try:
            parts = [
                self._encode(filled.slice(start, _BATCH)) for start in range(0, len(texts), _BATCH)
            ]
        finally:
            self.tokenizer.no_truncation()
        empty = pl.Series(texts.name, [], dtype=pl.List(pl.Int32))
        return pl.concat([empty, *parts]).alias(texts.name)

    def _encode(self, texts: pl.Series) -> pl.Series:
        encoded: list[Any] = self.tokenizer.encode_batch_fast(
            texts.to_list(), add_special_tokens=False
        )
        ids = [one.ids for one in encoded]
        offsets = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in ids], out=offsets[1:])
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.int32, count=int(offsets[-1]))
        lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(flat + np.int32(1)))
        return pl.Series(texts.name, lists, dtype=pl.List(pl.Int32))


UNKNOWN = "[UNK]"


_INNER = "##"


_ALL = 2**62


def trained(texts: Iterable[str], config: TextConfig) -> Tokenizer:
    """Return a tokenizer of kind ``word`` or ``wordpiece`` trained on texts.

    Text is brought into Unicode's composed form, cut at blanks and around punctuation, and loses
    control characters; accents stay. The unknown token has id 0.

    The package's own WordPiece trainer numbers letters in the order of a hash table that differs
    from process to process, and settles ties between pairs by number, so that the same texts give
    other vocabularies each time. Here the letters are chosen and numbered first.

    Raises
    ------
    DataError
        If the texts hold no word.
    """
    from tokenizers import models, trainers

    texts = list(texts)
    vocabulary = config.vocabulary if config.tokenizer == WORD else _ALL
    words = _pipeline(models.WordLevel(unk_token=UNKNOWN), config.lowercase)
    words.train_from_iterator(
        texts,
        trainers.WordLevelTrainer(
            vocab_size=vocabulary,
            min_frequency=config.min_frequency if config.tokenizer == WORD else 0,
            special_tokens=[UNKNOWN],
            show_progress=False,
        ),
    )
    known = [word for word in words.get_vocab() if word != UNKNOWN]
    if not known:
        raise DataError(
            f"The text of columns {', '.join(config.columns)} should hold words to train a "
            f"tokenizer on; {len(texts):,} texts hold none that occurs `text.min_frequency` "
            f"({config.min_frequency}) times. Name other columns in `text.columns`."
        )
    if config.tokenizer == WORD:
        return _pipeline(models.WordLevel(words.get_vocab(), unk_token=UNKNOWN), config.lowercase)

    letters = _letters(known, most=(config.vocabulary - 1) // 2)
    pieces = _pipeline(models.WordPiece(unk_token=UNKNOWN), config.lowercase)
    pieces.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(
            vocab_size=config.vocabulary,
            min_frequency=config.min_frequency,
            special_tokens=[UNKNOWN, *letters, *(_INNER + letter for letter in letters)],
            initial_alphabet=letters,
            limit_alphabet=len(letters),
            continuing_subword_prefix=_INNER,
            show_progress=False,
        ),
    )
    # Anew, as the letters should not be special tokens of what comes out.
    model = models.WordPiece(
        pieces.get_vocab(), unk_token=UNKNOWN, continuing_subword_prefix=_INNER
    )
    return _pipeline(model, config.lowercase)


def _letters(words: Iterable[str], most: int) -> list[str]:
    """Return the characters that occur in most words, at most `most`, in Unicode's order."""
    counts = Counter(letter for word in words for letter in set(word))
    ranked = sorted(counts, key=lambda letter: (-counts[letter], letter))
    return sorted(ranked[:most])


def _pipeline(model: Model, lowercase: bool) -> Tokenizer:
    from tokenizers import Tokenizer, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
    cleaned = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), cleaned])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer
