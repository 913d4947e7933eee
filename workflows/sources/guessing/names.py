"""What the name of a column says: whose it is, and whether it is an id."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

Entity = Literal["user", "item", "session", "device"]


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text, which blanks separate."""
    return frozenset(text.split())


#: Words to what they name, in the order in which they decide: a user's session is a session.
_ENTITIES: Final[dict[Entity, frozenset[str]]] = {
    "session": word_set(
        "session sess sid visit basket invoice order receipt rechnung bestellung bestell warenkorb"
    ),
    "device": word_set("device cookie browser anonymous fingerprint ip gerät"),
    "user": word_set(
        "user usr uid customer cust client member visitor reader reviewer person buyer account "
        "subscriber viewer listener shopper household player student learner guest author kunde "
        "email mail kunden kundennummer nutzer benutzer leser utilisateur client cliente usuario"
    ),
    "item": word_set(
        "item iid product prod article movie film book song track artist game asin isbn isbn10 "
        "isbn13 sku business venue location place poi news video show anime recipe hotel offer "
        "content stock listing playlist app course job post restaurant beer wine podcast episode "
        "artikel artikelnummer produkt buch lied produit producto pelicula libro"
    ),
}
_ID: Final = word_set(
    "id ids nr no num number code key hash uuid guid token uid iid sid sku asin isbn isbn10 isbn13 "
    "nummer artikelnummer kundennummer reference ref"
)
#: Words of what an entity has, beside its id.
_ATTRIBUTE: Final = word_set(
    "name names title type types category categories group brand price age gender sex description "
    "text rating ratings count status country city class section department aisle image url link "
    "date time since level family appearance colour color genre tag tags friend friends language "
    "year parent review reviews summary helpful score stars session zip postcode postal lat "
    "lon latitude longitude weight size desc garment kategorie preis titel zone event"
)
TIME: Final = word_set(
    "timestamp timestamps time times date datetime at ts unix when day dat created added updated "
    "datum zeit zeitpunkt uhrzeit fecha heure since dt"
)
RATING: Final = word_set(
    "rating ratings stars star score overall rate grade bewertung sterne note punkte puntuacion "
    "nota"
)
EVENT: Final = word_set(
    "event events action behavior behaviour interaction activity type ereignis aktion verb"
)
STRENGTH: Final = word_set(
    "weight plays playcount count listens hours quantity qty minutes duration watchtime playtime "
    "menge anzahl amount frequency"
)
CLICK: Final = word_set(
    "click clicked clicks label purchased bought conversion converted liked like target interacted"
)
TITLE: Final = word_set("title name headline titel nom nombre")
USER_TRAITS: Final = word_set(
    "age gender sex occupation zip postcode birth birthday country city signup registered "
    "since yelping fans friends alter geschlecht"
)
ITEM_TRAITS: Final = word_set(
    "title genre genres price brand category categories publisher author description colour color "
    "product year released department address titel preis kategorie"
)
_SPLITS: Final = re.compile(r"[\W_]+|(?<=[a-zß-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ENDINGS: Final = (*sorted(_ID, key=len, reverse=True), "name", "time", "date")
_KNOWN: Final = frozenset().union(*_ENTITIES.values(), TIME, RATING, EVENT)


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a column's name, in lower case.

    Examples
    --------
    >>> words_of("reviewerID"), words_of("ISBN"), words_of("visitorid")
    (('reviewer', 'id'), ('isbn',), ('visitor', 'id'))
    >>> words_of("user_id:token")  # of RecBole's files
    ('user', 'id')
    """
    plain = re.sub(r":(token|float|token_seq|float_seq)$", "", name)
    return tuple(
        word for part in _SPLITS.split(plain) if part for word in _compound(part.lower()) if word
    )


def _compound(word: str) -> Iterable[str]:
    if word in _KNOWN:
        return (word,)
    for ending in _ENDINGS:
        first = word.removesuffix(ending)
        if first != word and first in _KNOWN:
            return first, ending
    return (word,)


def entity_of(words: Iterable[str]) -> Entity | None:
    """Return the entity that a name refers to.

    Examples
    --------
    >>> entity_of(["user", "session"]), entity_of(["product", "id"]), entity_of(["price"])
    ('session', 'item', None)
    """
    found = set(words)
    return next((entity for entity, known in _ENTITIES.items() if found & known), None)


def is_key(words: Iterable[str]) -> bool:
    """Tell whether a name is that of an id: an entity alone, or with a word such as ``id``.

    Examples
    --------
    >>> is_key(["user", "id"]), is_key(["game"]), is_key(["product", "type", "no"]), is_key(["id"])
    (True, True, False, True)
    """
    found = set(words)
    if found & _ATTRIBUTE - {"session"}:
        return False
    return bool(found & _ID) or entity_of(found) is not None


def is_id(words: Iterable[str]) -> bool:
    """Tell whether a name has a word such as ``id`` or ``code``."""
    return bool(set(words) & _ID)
