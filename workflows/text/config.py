"""The `text` section of a recipe. Nothing here imports a package for text."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Final

from pydantic import Field, model_validator

from towermill.section import Section

#: Tokenizers that are trained on the items' own text.
WORDPIECE: Final = "wordpiece"
WORD: Final = "word"
#: `vectors` that are made of the items' own text.
LSA: Final = "lsa"
TRAINED: Final = (WORDPIECE, WORD)
#: Name endings of files of word vectors; any other `words` is a transformer.
_VECTOR_FILES: Final = (".txt", ".vec", ".gz", ".bin")
_OF_TRAINED: Final = ("vocabulary", "min_frequency", "lowercase")
#: Name endings of the files read from a model's folder.
_OF_MODELS: Final = (".json", ".safetensors")


class TextConfig(Section):
    """The `text` section of a recipe: what becomes of the items' text.

    Parameters
    ----------
    columns
        Columns of the items table, joined with a blank. Nulls and missing columns are empty.
    title_size
        Tokens kept of an item's text, the first ones.
    tokenizer
        ``wordpiece``, trained on the items' text; ``word``, whole words of that text, for vectors
        such as GloVe's; the name of a model on Hugging Face, a folder with its ``tokenizer.json``,
        or such a file.
    vocabulary
        For a trained tokenizer: its maximum number of tokens.
    min_frequency
        For a trained tokenizer: words, and pairs of pieces, that occur less often are not in the
        vocabulary.
    lowercase
        For a trained tokenizer: whether to lowercase.
    words
        Vectors that the tokens' embeddings begin from: a text file in the form of GloVe, word2vec
        or fastText (``.txt`` or ``.vec``, or either with ``.gz``), or the name or folder of a
        transformer, of which the input embeddings are taken. None begins from random ones.
    word_dim
        Width of token embeddings that begin from random ones.
    vectors
        A sentence model, by name on Hugging Face or folder, that makes a vector of each item's
        text; or ``lsa``, vectors by the words of the items' own text. None makes none.
    """

    columns: tuple[str, ...] = Field(("title",), min_length=1)
    title_size: int = Field(30, ge=1)
    tokenizer: str = Field(WORDPIECE, min_length=1)
    vocabulary: int = Field(30_000, ge=3)
    min_frequency: int = Field(2, ge=1)
    lowercase: bool = True
    words: str | None = Field(None, min_length=1)
    word_dim: int = Field(300, ge=1)
    vectors: str | None = Field(None, min_length=1)

    @property
    def is_trained(self) -> bool:
        """Whether the tokenizer is trained on the items' own text."""
        return self.tokenizer in TRAINED

    def files(self) -> list[Path]:
        """Return the files here that tokenizer, words and vectors are read from, in a fixed order.

        (Their fingerprints are keyed.) A model named on Hugging Face has none; a file that is named
        is included, whether it exists or not.
        """
        found: dict[Path, None] = {}
        for source in (self.tokenizer, self.words, self.vectors):
            if source is None or source in (*TRAINED, LSA):
                continue
            path = Path(source).expanduser()
            inner = sorted([*path.glob("*"), *path.glob("*/*")])  # such as 1_Pooling/config.json
            named = path.suffix == ".json" or is_vector_file(source)
            files = [path] if named else [f for f in inner if f.suffix in _OF_MODELS]
            found |= dict.fromkeys(files)
        return list(found)

    @model_validator(mode="after")
    def _check(self) -> TextConfig:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(
                f"`text.columns` should name a column once. Received: {list(self.columns)}."
            )
        # By value, not by what was set: a recipe that was read back has every key.
        fields = type(self).model_fields
        changed = [key for key in fields if getattr(self, key) != fields[key].default]
        said = [key for key in _OF_TRAINED if key in changed]
        if said and not self.is_trained:
            raise ValueError(
                f"`text.{said[0]}` is of a tokenizer trained here ({' or '.join(TRAINED)}), and "
                f"`text.tokenizer` is {self.tokenizer!r}, which comes with its own. Leave it out."
            )
        if self.words is None:
            return self
        if "word_dim" in changed:
            raise ValueError(
                "`text.word_dim` is the width of embeddings that begin from random ones, and "
                f"`text.words` is {self.words!r}, which has a width of its own. Leave one out."
            )
        own_file = PurePath(self.tokenizer).suffix == ".json"
        if not is_vector_file(self.words) and not own_file and self.tokenizer != self.words:
            raise ValueError(
                f"`text.words` is the transformer {self.words!r}, whose embeddings are of its own "
                f"tokenizer's ids, and `text.tokenizer` is {self.tokenizer!r}. Set both to the "
                "same name, or take vectors from a file that ends in .txt or .vec."
            )
        return self


def is_vector_file(words: str) -> bool:
    """Whether `words` names a file of word vectors; else it names a transformer."""
    return PurePath(words).suffix.lower() in _VECTOR_FILES
