"""Label checks: finds misspelt, duplicate, unused and rare labels from the number of boxes of each label.

Begin with `check_labels`; what is one name and what looks like one is in `spelling`.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from retinanet_odm.csv_tables import format_row
from retinanet_odm.labels.label_map import LabelMap
from retinanet_odm.labels.spelling import find_look_alikes, nearest_labels, normalise_label
from retinanet_odm.wording import plural

# The severities of all problems, not of labels only; retinanet_odm.dataset.problems adds the third one.
ERROR = "error"
WARNING = "warning"

# The default split reserves a tenth for validation: of fewer boxes than this, less than one is expected there.
RARE_BELOW = 10

# What to do about problems whose suggestion depends on nothing but their code.
SUGGESTIONS: Mapping[str, str] = {
    "alias_never_seen": "check the --label_aliases file for typos",
    "labels_look_alike": "if they are one class, name one in --label_aliases; if not, list both in --labels",
    "label_never_seen": "check for another spelling; a class without boxes cannot be learned",
    "rare_label": "annotate more of them: a class with so few boxes can be neither learned nor validated",
}


@dataclass(frozen=True, kw_only=True)
class LabelProblem:
    """One problem of one label.

    Attributes:
      code: unknown_label, same_label_twice, labels_look_alike, label_never_seen, alias_never_seen or rare_label.
      severity: ERROR or WARNING.
      label: as the annotation files spell it.
      count: the number of its boxes.
      detail: the problem, in one sentence.
      suggestion: what to do about it.
      candidates: names that may have been intended, the most similar first.
    """

    code: str
    severity: str
    label: str
    count: int
    detail: str
    suggestion: str
    candidates: tuple[str, ...] = ()


def check_labels(
    seen: Mapping[str, int],
    labels: LabelMap | None,
    *,
    aliases: Mapping[str, str] | None = None,
    rare_below: int = RARE_BELOW,
    settled: Collection[str] | None = None,
) -> tuple[LabelProblem, ...]:
    """Find all problems of the labels: errors first, then by code, the most frequent label first.

    Args:
      seen: boxes by label, as the annotation files spell it.
      labels: the user's label map; None if one will be made of all names.
      aliases: name by alias, from parse_aliases.
      rare_below: a class with fewer boxes is rare.
      settled: names that the user has listed, so that two of them are two classes however alike they look; None for all
        of labels.

    Example:
      >>> [problem.code for problem in check_labels({"crab": 100, "Crab": 2}, LabelMap.from_names(["crab"]))]
      ['unknown_label']
    """
    aliases = aliases or {}
    # Boxes by the name that a label counts as: problems of aliases themselves are judged by `seen`.
    counts: Counter[str] = Counter()
    for label, count in seen.items():
        counts[aliases.get(label, label)] += count
    known = set(labels.name_by_id.values()) if labels else set(counts)
    settled = settled if settled is not None else set(known) if labels else ()
    seen_names = {name: counts[name] for name in known - aliases.keys() if counts[name]}
    look_alikes = find_look_alikes(seen_names, settled)
    problems = [
        *_unknown(counts, known),
        # A spelling that has an alias is settled already, so it is not a second class.
        *_written_twice(counts, known - aliases.keys()),
        *(_never_seen(name) for name in known - aliases.keys() if not counts[name]),
        *(_alias_never_seen(alias, name) for alias, name in aliases.items() if not seen.get(alias)),
        *(_look_alike(name, other, counts) for name, other in look_alikes.items()),
        # More boxes of a misspelt name are not what it needs.
        *(
            _rare(name, counts[name], rare_below)
            for name in known - look_alikes.keys()
            if 0 < counts[name] < rare_below
        ),
    ]
    return tuple(
        sorted(problems, key=lambda problem: (problem.severity != ERROR, problem.code, -problem.count, problem.label))
    )


def _unknown(counts: Mapping[str, int], known: set[str]) -> Iterator[LabelProblem]:
    for label in counts.keys() - known:
        candidates = nearest_labels(label, known)
        yield LabelProblem(
            code="unknown_label",
            severity=ERROR,
            label=label,
            count=counts[label],
            detail=f"label {label!r} is not in the label map",
            suggestion=_suggest(label, candidates),
            candidates=candidates,
        )


def _suggest(label: str, candidates: tuple[str, ...]) -> str:
    if not candidates:
        return "add it to the label map, or name it in --label_aliases"
    same = normalise_label(label) == normalise_label(candidates[0])
    # Similar names may still be two species: "sp. A" and "sp. B".
    condition = "it is the same name in another spelling" if same else f"if {candidates[0]!r} is meant"
    otherwise = "" if same else "; otherwise add it to the label map"
    return f"{condition}: {_alias_line(label, candidates[0])}{otherwise}"


def _alias_line(alias: str, name: str) -> str:
    return f"add to --label_aliases the line {format_row((alias, name))}"


def _written_twice(counts: Mapping[str, int], names: set[str]) -> Iterator[LabelProblem]:
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in names:
        spellings[normalise_label(name)].append(name)
    for same in spellings.values():
        # Suggest to keep the most frequent spelling; each of the others is a problem.
        kept, *others = sorted(same, key=lambda name: (-counts.get(name, 0), name))
        yield from (_same_twice(name, kept, counts.get(name, 0)) for name in others)


def _same_twice(name: str, kept: str, count: int) -> LabelProblem:
    return LabelProblem(
        code="same_label_twice",
        severity=ERROR,
        label=name,
        count=count,
        detail=f"labels {name!r} and {kept!r} are one name in two spellings, and would become two classes",
        suggestion=f"keep one, and {_alias_line(name, kept)}",
        candidates=(kept,),
    )


def _counted(name: str, counts: Mapping[str, int]) -> str:
    return f"{name!r} ({counts[name]} {plural('box', counts[name])})"


def _look_alike(name: str, other: str, counts: Mapping[str, int]) -> LabelProblem:
    return LabelProblem(
        code="labels_look_alike",
        severity=WARNING,
        label=name,
        count=counts[name],
        detail=f"labels {_counted(name, counts)} and {_counted(other, counts)} look alike: alias?",
        suggestion=f"if they are one class, {_alias_line(name, other)}; if not, list both in --labels",
        candidates=(other,),
    )


def _never_seen(name: str) -> LabelProblem:
    return LabelProblem(
        code="label_never_seen",
        severity=WARNING,
        label=name,
        count=0,
        detail=f"label {name!r} is in the label map, but no box has it",
        suggestion=SUGGESTIONS["label_never_seen"],
    )


def _alias_never_seen(alias: str, name: str) -> LabelProblem:
    return LabelProblem(
        code="alias_never_seen",
        severity=WARNING,
        label=alias,
        count=0,
        detail=f"alias {alias!r} of {name!r} is the label of no box",
        suggestion=SUGGESTIONS["alias_never_seen"],
    )


def _rare(name: str, count: int, rare_below: int) -> LabelProblem:
    return LabelProblem(
        code="rare_label",
        severity=WARNING,
        label=name,
        count=count,
        detail=f"label {name!r} has fewer than {rare_below} boxes",
        suggestion=SUGGESTIONS["rare_label"],
    )
