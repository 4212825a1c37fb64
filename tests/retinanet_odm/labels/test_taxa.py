"""The tree of taxa: what a table may contain, and the line of every mistake."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retinanet_odm.errors import ContractError
from retinanet_odm.labels.taxa import RANKS, parse_taxa

_HEADER = "label,AphiaID,rank,parent"
_TREE = f"""\
# Not all numbers are those of WoRMS
{_HEADER},scientificName
Peniagone sp. A,123544,genus,Peniagone,Peniagone
Elpidiidae,123206,Family,Holothuroidea,
Peniagone,123544,Genus,Elpidiidae,
Scotoplanes globosa,124746,species,Elpidiidae,
Holothuroidea,123083,class,,
"""


def test_lineage_and_ranks() -> None:
    taxa = parse_taxa(_TREE, source="taxa.csv")
    assert [taxon.label for taxon in taxa.lineage("Peniagone sp. A")] == [
        "Peniagone sp. A",
        "Peniagone",
        "Elpidiidae",
        "Holothuroidea",
    ]
    morphotype = taxa.by_label["Peniagone sp. A"]
    assert (morphotype.scientific_name, morphotype.rank) == ("Peniagone", "genus")
    assert morphotype.scientific_name_id == "urn:lsid:marinespecies.org:taxname:123544"
    at_genus = taxa.at_rank("Peniagone sp. A", "genus")
    assert at_genus is not None
    assert at_genus.label == "Peniagone"  # not the morphotype, whose rank is the same
    assert taxa.at_rank("Scotoplanes globosa", "genus") is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param("a,1,genus,\na,1,genus,", "line 3: label 'a' is also in line 2", id="twice"),
        pytest.param(" ,1,genus,", "line 2: expected a label, found ' '", id="no label"),
        pytest.param("a,,genus,", "line 2: AphiaID of 'a': expected a positive integer, found ''", id="no number"),
        pytest.param("a,0,genus,", "line 2: AphiaID of 'a': .* found '0'", id="zero"),
        pytest.param("a,-7,genus,", "line 2: AphiaID of 'a': .* found '-7'", id="negative"),
        pytest.param("a,1_0,genus,", "line 2: AphiaID of 'a': .* found '1_0'", id="int would read it"),
        pytest.param("a,٣,genus,", "line 2: AphiaID of 'a': .* found '٣'", id="digits of another script"),
        pytest.param(
            "a,urn:lsid:marinespecies.org:taxname:1,genus,", "line 2: AphiaID of 'a': .* found 'urn", id="the LSID"
        ),
        pytest.param("a,1,genis,", "line 2: rank of 'a': 'genis' is no known rank; did you mean 'genus'", id="slip"),
        pytest.param("a,1,blob,", "line 2: rank of 'a': 'blob' is no known rank; expected one of superdom", id="rank"),
        pytest.param("a,1,,", "line 2: rank of 'a': '' is no known rank", id="no rank"),
        pytest.param("a,1,genus,b", "line 2: parent 'b' of 'a' has no row: add one, or leave", id="no parent"),
        pytest.param(
            "Peniagone,1,genus,\nx,2,species,PENIAGONE", "line 3: parent .* did you mean 'Peniagone'", id="spelling"
        ),
        pytest.param("a,1,genus,a", "line 2: parents form a cycle: a → a", id="of itself"),
        pytest.param(
            "a,1,species,b\nb,2,genus,c\nc,3,family,b",
            "line 2: parents form a cycle: a → b → c → b",
            id="a cycle above",
        ),
        pytest.param(
            "a,1,genus,\nb,2,family,a",
            "line 3: rank of 'b': expected one below genus, .* 'a'; found family",
            id="rank up",
        ),
        pytest.param("a,1,genus,\nb,2,genus,a", "line 3: rank of 'b': expected one below genus", id="equal ranks"),
        pytest.param(
            "a,1,genus,\nb,1,genus,", r"line 3: AphiaID 1 of 'b' \(genus b\) is also in line 2 \(genus a\)", id="copied"
        ),
        pytest.param("a,1,genus", "line 2: expected 4 cells", id="a cell too few"),
        pytest.param("", "expected at least one taxon, found none", id="empty"),
    ],
)
def test_refused(rows: str, message: str) -> None:
    with pytest.raises(ContractError, match=f"^taxa.csv: {message}"):
        parse_taxa(f"{_HEADER}\n{rows}\n", source="taxa.csv")


def test_another_header_is_refused() -> None:
    with pytest.raises(ContractError, match=r"taxa\.csv: line 1: expected the header label,AphiaID,rank,parent; found"):
        parse_taxa("name,AphiaID\n", source="taxa.csv")


def test_classes_without_a_row_are_named() -> None:
    taxa = parse_taxa(_TREE, source="taxa.csv")
    taxa.check_classes(["Peniagone", "Elpidiidae"], source="taxa.csv")
    message = r"taxa.csv: .*found none for 'PENIAGONE', 'rock' \(did you mean 'Peniagone'"
    with pytest.raises(ContractError, match=message):
        taxa.check_classes(["PENIAGONE", "Peniagone", "rock"], source="taxa.csv")


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12))
def test_a_lineage_goes_up_whatever_the_order_of_the_rows(choices: list[int]) -> None:
    # Taxon n has rank n and any taxon before it as parent; the rows are written from the bottom up.
    parents = ["", *(f"t{choice % number}" for number, choice in enumerate(choices[1:], start=1))]
    rows = [f"t{number},{number + 1},{RANKS[number]},{parent}" for number, parent in enumerate(parents)]
    taxa = parse_taxa("\n".join((_HEADER, *reversed(rows))), source="taxa.csv")
    for number, label in enumerate(f"t{number}" for number in range(len(parents))):
        lineage = taxa.lineage(label)
        assert lineage[0].label == label
        assert lineage[-1].label == "t0"
        depths = [RANKS.index(taxon.rank) for taxon in lineage]
        assert depths == sorted(depths, reverse=True)
        assert all(child.parent == parent.label for child, parent in itertools.pairwise(lineage))
        assert taxa.at_rank(label, RANKS[number]) == lineage[0]
