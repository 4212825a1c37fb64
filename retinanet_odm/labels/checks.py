"""The label doctor: everything that is doubtful about a data set's labels, found in one pass over their counts.

People write one animal in many ways ("PENIAGONE_SP_A", "Peniagone sp. A"); a detector would learn two animals.
"""

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from retinanet_odm.csv_tables import format_row
from retinanet_odm.labels.label_map import LabelMap

ERROR = "error"
WARNING = "warning"

# The default split holds a tenth back for validation: with fewer boxes than this, less than one is expected there.
RARE_BELOW = 10

# Combining Diacritical Marks: the accents of Latin, Greek and Cyrillic; the marks of other scripts are letters.
_ACCENTS = re.compile("[\u0300-\u036f]+")
_SEPARATORS = ("Z", "C", "Pd", "Pc")  # Unicode categories: spaces, controls and format characters, dashes, underscores
_SIMILARITY = 0.7  # of difflib's ratio: "urchin" finds "sea urchin" (0.80) but not "starfish" (0.29)
_CANDIDATES = 3


@dataclass(frozen=True, kw_only=True)
class LabelProblem:
    """One thing to look at.

    Attributes:
      code: unknown_label, same_label_twice, label_never_seen, alias_never_seen or rare_label.
      severity: ERROR or WARNING.
      label: as it is written.
      count: boxes that have it.
      detail: what is wrong, in one sentence.
      suggestion: what to do about it.
      candidates: names that may have been meant, the likeliest first.
    """

    code: str
    severity: str
    label: str
    count: int
    detail: str
    suggestion: str
    candidates: tuple[str, ...] = ()


def normalise_label(name: str) -> str:
    """What two ways of writing one name have in common: no case, accents, spaces, underscores, hyphens and full stops.

    Between two digits a separator stays, as a space: "sp. 1-1" is not "sp. 11". A name of separators alone is kept.
    """
    plain = name
    for _ in range(2):  # once more, since what compatibility letters come apart into may have a case again
        plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", plain)).casefold()
    words = "".join(" " if _separates(sign) else sign for sign in plain).split()
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(words)) or name


def _separates(sign: str) -> bool:
    return sign == "." or unicodedata.category(sign).startswith(_SEPARATORS)


def nearest_labels(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that may have been meant, at most three: those that fold equal, then those spelt alike."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for known in sorted(set(names)):
        spellings[normalise_label(known)].append(known)
    folded = normalise_label(name)
    alike = difflib.get_close_matches(folded, sorted(spellings), n=_CANDIDATES, cutoff=_SIMILARITY)
    ordered = sorted(alike, key=lambda form: form != folded)
    return tuple(known for form in ordered for known in spellings[form])[:_CANDIDATES]


def check_labels(
    seen: Mapping[str, int],
    labels: LabelMap | None,
    *,
    aliases: Mapping[str, str] | None = None,
    rare_below: int = RARE_BELOW,
) -> tuple[LabelProblem, ...]:
    """Everything that is doubtful: errors first, then by code, the most frequent label first.

    Args:
      seen: boxes by label, as the annotation files write it.
      labels: the user's label map; None where one of all names is to be made.
      aliases: name by alias, as parse_aliases gives it.
      rare_below: a class with fewer boxes is rare.
    """
    aliases = aliases or {}
    counts: Counter[str] = Counter()
    for label, count in seen.items():
        counts[aliases.get(label, label)] += count
    known = set(labels.name_by_id.values()) if labels else set(counts)
    findings = [
        *_unknown(counts, known),
        *_written_twice(counts, known - aliases.keys()),
        *(_never_seen(name) for name in known - aliases.keys() if not counts[name]),
        *(_alias_never_seen(alias, name) for alias, name in aliases.items() if not seen.get(alias)),
        *(_rare(name, counts[name], rare_below) for name in known if 0 < counts[name] < rare_below),
    ]
    return tuple(sorted(findings, key=lambda found: (found.severity != ERROR, found.code, -found.count, found.label)))


def _unknown(counts: Mapping[str, int], known: set[str]) -> Iterator[LabelProblem]:
    for label in counts.keys() - known:
        candidates = nearest_labels(label, known)
        yield LabelProblem(
            code="unknown_label",
            severity=ERROR,
            label=label,
            count=counts[label],
            detail=f"label {label!r} is not in the label map",
            suggestion=_fix(label, candidates),
            candidates=candidates,
        )


def _fix(label: str, candidates: tuple[str, ...]) -> str:
    if not candidates:
        return "add it to the label map, or name it in --label_aliases"
    same = normalise_label(label) == normalise_label(candidates[0])
    # Names that are merely alike may be two species: "sp. A" and "sp. B".
    condition = "it is the same name in another spelling" if same else f"if {candidates[0]!r} is meant"
    otherwise = "" if same else "; else add it to the label map"
    return f"{condition}: {_alias_line(label, candidates[0])}{otherwise}"


def _alias_line(alias: str, name: str) -> str:
    return f"add to --label_aliases the line {format_row((alias, name))}"


def _written_twice(counts: Mapping[str, int], names: set[str]) -> Iterator[LabelProblem]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in names:
        spellings[normalise_label(name)].append(name)
    for same in spellings.values():
        # The most frequent spelling is the one to keep, and each of the others is a finding.
        kept, *others = sorted(same, key=lambda name: (-counts.get(name, 0), name))
        yield from (_same_twice(name, kept, counts.get(name, 0)) for name in others)


def _same_twice(name: str, kept: str, count: int) -> LabelProblem:
    return LabelProblem(
        code="same_label_twice",
        severity=ERROR,
        label=name,
        count=count,
        detail=f"labels {name!r} and {kept!r} are one name in two spellings, and would be two classes",
        suggestion=f"keep one, and {_alias_line(name, kept)}",
        candidates=(kept,),
    )


def _never_seen(name: str) -> LabelProblem:
    return LabelProblem(
        code="label_never_seen",
        severity=WARNING,
        label=name,
        count=0,
        detail=f"label {name!r} is in the label map, but no box has it",
        suggestion="look for another spelling; a class without boxes cannot be learned",
    )


def _alias_never_seen(alias: str, name: str) -> LabelProblem:
    return LabelProblem(
        code="alias_never_seen",
        severity=WARNING,
        label=alias,
        count=0,
        detail=f"alias {alias!r} of {name!r} is the label of no box",
        suggestion="look for a slip of the pen in --label_aliases",
    )


def _rare(name: str, count: int, rare_below: int) -> LabelProblem:
    return LabelProblem(
        code="rare_label",
        severity=WARNING,
        label=name,
        count=count,
        detail=f"label {name!r} has fewer than {rare_below} boxes",
        suggestion="annotate more of them; so few can be neither learned nor held back for validation",
    )
