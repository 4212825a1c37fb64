"""Spellings of labels: which are one name, and which look so alike that one may be a slip of the other.

Annotators spell one name in several ways ("PENIAGONE_SP_A", "Peniagone sp. A"), and a detector would learn two classes.
`normalise_label` maps such spellings to one text. `find_look_alikes` finds what it cannot know: a plural, or a name
with a letter too many, too few or in another place.
"""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

# Combining Diacritical Marks: the accents of Latin, Greek and Cyrillic. Other scripts use marks to write letters.
_ACCENTS = re.compile("[\u0300-\u036f]+")
_SEPARATORS = ("Z", "C", "Pd", "Pc")  # Unicode categories: spaces, controls and format characters, dashes, underscores
_MIN_SIMILARITY = 0.7  # difflib's ratio: "urchin" finds "sea urchin" (0.80) but not "starfish" (0.29)
_MAX_CANDIDATES = 3

# difflib's ratio of a slip: "Ophiuriodea" and "Ophiuroidea" have 0.91, "male crab" and "female crab" 0.89.
_SLIP = 0.85
# Of short names one letter is much ("krab" and "crab": 0.75): only where one is seen RARELY as often as the other.
_SHORT_SLIP = 0.75
_RARELY = 0.05
_MIN_LETTERS = 4  # "WBC" and "RBC" differ by one letter and are two things
_EDGE = 3  # names are compared if these first letters are equal, or all letters after a slip in them


def normalise_label(name: str) -> str:
    """Remove case, accents and separators (spaces, underscores, hyphens, full stops), so that spellings compare equal.

    Between two digits a separator is kept, as a space: "sp. 1-1" differs from "sp. 11". A name that consists of
    separators only is returned unchanged.

    Example:
      >>> normalise_label("PENIAGONE_SP_A"), normalise_label("Peniagone sp. A"), normalise_label("sp. 1-1")
      ('peniagonespa', 'peniagonespa', 'sp1 1')
    """
    # The space between words stays only between two digits, where it tells numbers apart.
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(_words(name))) or name


def _words(name: str) -> list[str]:
    plain = name
    for _ in range(2):  # twice, because a compatibility character may decompose into capital letters
        plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", plain)).casefold()
    return "".join(" " if _is_separator(character) else character for character in plain).split()


def _is_separator(character: str) -> bool:
    return character == "." or unicodedata.category(character).startswith(_SEPARATORS)


def nearest_labels(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that may have been intended, at most three: equal when normalised first, then similar ones.

    Example:
      >>> nearest_labels("PENIAGONE_SP_A", ["Peniagone sp. A", "Peniagone sp. B", "urchin"])
      ('Peniagone sp. A', 'Peniagone sp. B')
    """
    spellings: dict[str, list[str]] = defaultdict(list)
    for known in sorted(set(names)):
        spellings[normalise_label(known)].append(known)
    normalised = normalise_label(name)
    similar = difflib.get_close_matches(normalised, sorted(spellings), n=_MAX_CANDIDATES, cutoff=_MIN_SIMILARITY)
    # difflib sorts by similarity. The sort is stable, so it only moves an equal spelling to the front.
    equal_first = sorted(similar, key=lambda form: form != normalised)
    return tuple(known for form in equal_first for known in spellings[form])[:_MAX_CANDIDATES]


def find_look_alikes(counts: Mapping[str, int], settled: Collection[str] = ()) -> dict[str, str]:
    """Find names that may be slips of others: the more frequent name, by the rarer one.

    Args:
      counts: boxes by name.
      settled: names that the user has listed as classes: two of them are not compared.

    Example:
      >>> find_look_alikes({"Ophiuroidea": 812, "Ophiuriodea": 70, "Platelets": 90, "platelet": 3})
      {'Ophiuriodea': 'Ophiuroidea', 'platelet': 'Platelets'}
    """
    by_frequency = sorted(counts, key=lambda name: (-counts[name], name))
    forms = {name: normalise_label(name) for name in by_frequency}
    # Not all pairs: of thousands of names they take minutes.
    groups: dict[str, list[str]] = defaultdict(list)
    found: dict[str, str] = {}
    for rarer in by_frequency:
        form = forms[rarer]
        edges = (f"{form[:_EDGE]}*", *(f"*{form[at:]}" for at in range(_EDGE + 1)))
        for commoner in (name for edge in edges for name in groups[edge]):
            is_open = rarer not in settled or commoner not in settled
            is_rare = counts[rarer] <= _RARELY * counts[commoner]
            if is_open and forms[commoner] != form and look_alike(rarer, commoner, is_rare=is_rare):
                found[rarer] = commoner
                break
        for edge in edges:
            groups[edge].append(rarer)
    return {name: found[name] for name in sorted(found)}


def look_alike(one: str, other: str, *, is_rare: bool = False) -> bool:
    """Return whether two names may be one: a plural of the other, or alike but for a slip.

    Names that differ only in numbers or single letters ("sp. A", "sp. B") are two names.

    Args:
      one: a name.
      other: another name.
      is_rare: whether one is seen so rarely beside the other that a short name, too, may be a slip.

    Example:
      >>> look_alike("platelet", "Platelets"), look_alike("Peniagone sp. A", "Peniagone sp. B")
      (True, False)
    """
    # Sorted, because difflib's ratio depends on the order.
    first, second = sorted((normalise_label(one), normalise_label(other)))
    if min(len(first), len(second)) < _MIN_LETTERS or _differ_in_designation(one, other):
        return False
    if _singulars(first) & _singulars(second):
        return True
    matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
    limit = _SHORT_SLIP if is_rare else _SLIP
    # The first is an upper bound that costs much less.
    return matcher.quick_ratio() >= limit and matcher.ratio() >= limit


def _differ_in_designation(one: str, other: str) -> bool:
    first, second = (
        [re.sub(r"\d+", "#", word) if len(word) > 1 else "#" for word in _words(name)] for name in (one, other)
    )
    return first == second and normalise_label(one) != normalise_label(other)


def _singulars(form: str) -> set[str]:
    """Return a normalised name with what it may be the plural of.

    Example:
      >>> sorted(_singulars("anemonies"))
      ['anemoni', 'anemonie', 'anemonies', 'anemony']
    """
    found = {form}
    for ending, singular in (("s", ""), ("es", ""), ("ies", "y")):
        if form.endswith(ending):
            found.add(form.removesuffix(ending) + singular)
    return {word for word in found if len(word) >= _MIN_LETTERS}


def describe_nearest(name: str, names: Iterable[str]) -> str:
    """Return the nearest labels in words, for a message; "" if there are none.

    Example:
      >>> describe_nearest("crabb", ["crab", "urchin"])
      "'crab'"
    """
    return " or ".join(map(repr, nearest_labels(name, names)))
