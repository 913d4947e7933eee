"""Tokenizers trained on a catalogue's own text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from towermill.errors import DataError
from towermill.workflows.text.config import WORD, TextConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.models import Model

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
    """Return the characters that stand in most words, at most so many, in Unicode's order."""
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
