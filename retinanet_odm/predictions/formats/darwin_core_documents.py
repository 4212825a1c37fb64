"""The documents of a Darwin Core Archive: meta.xml, which names the columns, and eml.xml, which describes the data set.

meta.xml is that of the Darwin Core text guide (https://dwc.tdwg.org/text/). eml.xml is the Ecological Metadata Language
2.2 in GBIF's profile 1.3 (https://rs.gbif.org/schema/eml-gbif-profile/1.3/). What a person has to say is the object
`darwincore` of --publication; see `ArchiveFacts`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lxml import etree

from retinanet_odm.errors import ContractError
from retinanet_odm.labels.spelling import describe_nearest
from retinanet_odm.labels.taxa import HIGHER_RANKS, Taxonomy
from retinanet_odm.predictions.formats.encoding import xml_text
from retinanet_odm.predictions.publication import PublicationFacts, uuid_of
from retinanet_odm.predictions.rows import ScoringRun
from retinanet_odm.wording import describe_min_scores

NAME = "darwincore"
_DWC, _AC = "http://rs.tdwg.org/dwc/terms/", "http://rs.tdwg.org/ac/terms/"
_TEXT = "http://rs.tdwg.org/dwc/text/"
_EML = "https://eml.ecoinformatics.org/eml-2.2.0"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_DC, _DCTERMS = "http://purl.org/dc/elements/1.1/", "http://purl.org/dc/terms/"
_XMP, _EXIF = "http://ns.adobe.com/xap/1.0/", "http://ns.adobe.com/exif/1.0/"

# The licenses that GBIF accepts (https://www.gbif.org/terms), by their SPDX identifiers, as GBIF names them.
_LICENSES = {
    "CC0-1.0": ("Public Domain (CC0 1.0)", "http://creativecommons.org/publicdomain/zero/1.0/legalcode"),
    "CC-BY-4.0": (
        "Creative Commons Attribution (CC-BY) 4.0 License",
        "http://creativecommons.org/licenses/by/4.0/legalcode",
    ),
    "CC-BY-NC-4.0": (
        "Creative Commons Attribution Non Commercial (CC-BY-NC) 4.0 License",
        "http://creativecommons.org/licenses/by-nc/4.0/legalcode",
    ),
}
_NEEDED = ("title", "abstract", "license", "creator")
_CREATOR = ("givenName", "surName", "organizationName", "electronicMailAddress")


@dataclass(frozen=True)
class ArchiveTable:
    """A table of the archive: its file, what its rows are, and the namespace of each column's term, by the columns."""

    file: str
    row_type: str
    terms: Mapping[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; the first is the key of the core."""
        return tuple(self.terms)


OCCURRENCE = ArchiveTable(
    "occurrence.csv",
    f"{_DWC}Occurrence",
    {
        **dict.fromkeys(("occurrenceID", "eventID", "parentEventID", "eventDate"), _DWC),
        **dict.fromkeys(("basisOfRecord", "occurrenceStatus", "individualCount"), _DWC),
        **dict.fromkeys(("scientificName", "scientificNameID", "taxonRank", "verbatimIdentification"), _DWC),
        **dict.fromkeys(HIGHER_RANKS, _DWC),
        **dict.fromkeys(("identifiedBy", "identificationReferences", "identificationVerificationStatus"), _DWC),
        **dict.fromkeys(("identificationRemarks", "associatedMedia", "dynamicProperties"), _DWC),
        **dict.fromkeys(("samplingProtocol", "sampleSizeValue", "sampleSizeUnit", "samplingEffort"), _DWC),
        **dict.fromkeys(("decimalLatitude", "decimalLongitude", "geodeticDatum"), _DWC),
        **dict.fromkeys(("coordinateUncertaintyInMeters", "minimumDepthInMeters", "maximumDepthInMeters"), _DWC),
        **dict.fromkeys(("locationID", "locality"), _DWC),
        "license": _DCTERMS,
    },
)
MULTIMEDIA = ArchiveTable(
    "multimedia.csv",
    f"{_AC}Multimedia",
    {
        "occurrenceID": "",  # the key of the core, which has no term here
        "identifier": _DCTERMS,
        "type": _DC,
        **dict.fromkeys(("accessURI", "providerManagedID", "hashFunction", "hashValue"), _AC),
        "CreateDate": _XMP,
        **dict.fromkeys(("PixelXDimension", "PixelYDimension"), _EXIF),
        **dict.fromkeys(("isROIOf", "xFrac", "yFrac", "widthFrac", "heightFrac"), _AC),
    },
)


@dataclass(frozen=True, kw_only=True)
class ArchiveFacts:
    """What a person says about the data set.

    Attributes:
      title, abstract: as eml.xml has them.
      license: one of the SPDX identifiers CC0-1.0, CC-BY-4.0 and CC-BY-NC-4.0.
      creator: surName or organizationName, electronicMailAddress, and perhaps givenName.
      created: when the publication was made.
    """

    title: str
    abstract: str
    license: str
    creator: Mapping[str, str]
    created: str

    @property
    def license_url(self) -> str:
        """The address of the license."""
        return _LICENSES[self.license][1]

    @classmethod
    def of(cls, facts: PublicationFacts) -> "ArchiveFacts":
        """Return what --publication says for an archive.

        Raises:
          UsageError: there is no --publication.
          ContractError: something is missing, is no text, or is not known.
        """
        section, where = facts.section(NAME, *_NEEDED), f"{facts.source}: {NAME}"
        _check_keys(section, _NEEDED, where)
        for key in _NEEDED[:-1]:
            _check_text(section[key], f"{where}: {key}")
        if section["license"] not in _LICENSES:
            raise ContractError(f"{where}: license: expected {', '.join(_LICENSES)}; found {section['license']!r}")
        creator = section["creator"]
        if not isinstance(creator, dict):
            raise ContractError(f"{where}: creator: expected an object with {', '.join(_CREATOR)}; found {creator!r}")
        _check_keys(creator, _CREATOR, f"{where}: creator")
        for key, value in creator.items():
            _check_text(value, f"{where}: creator: {key}")
        if not creator.keys() & {"surName", "organizationName"} or "electronicMailAddress" not in creator:
            raise ContractError(f"{where}: creator: expected surName or organizationName, and electronicMailAddress")
        return cls(**section, created=facts.require_created(NAME))


def _check_keys(section: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in section:
        if key not in known:
            hint = f"did you mean {near}?" if (near := describe_nearest(key, known)) else f"expected {', '.join(known)}"
            raise ContractError(f"{where}: unknown key {key!r}; {hint}")


def _check_text(value: object, where: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise ContractError(f"{where}: expected a text, found {value!r}")


def format_meta() -> bytes:
    """Return meta.xml."""
    # The stubs do not know that None is the default namespace.
    archive = etree.Element("archive", {"metadata": "eml.xml"}, nsmap={None: _TEXT})  # type: ignore[dict-item]
    _add_table(archive, "core", "id", OCCURRENCE)
    _add_table(archive, "extension", "coreid", MULTIMEDIA)
    return _serialize(archive)


def _add_table(archive: etree._Element, kind: str, key: str, table: ArchiveTable) -> None:
    # Escapes, and not the characters: that is how the text guide writes them.
    described = {
        "encoding": "UTF-8",
        "fieldsTerminatedBy": ",",
        "linesTerminatedBy": "\\n",
        "fieldsEnclosedBy": '"',
        "ignoreHeaderLines": "1",
        "rowType": table.row_type,
    }
    element = etree.SubElement(archive, kind, described)
    etree.SubElement(etree.SubElement(element, "files"), "location").text = table.file
    etree.SubElement(element, key, {"index": "0"})
    for index, (column, namespace) in enumerate(table.terms.items()):
        if namespace:
            etree.SubElement(element, "field", {"index": str(index), "term": namespace + column})


def format_eml(facts: ArchiveFacts, taxonomy: Taxonomy, run: ScoringRun) -> bytes:
    """Return eml.xml: what a person says, the taxa that were looked for, and how they were detected."""
    package = uuid_of(NAME, facts.title, facts.created, run.model_hash)
    eml = etree.Element(
        f"{{{_EML}}}eml",
        {
            "packageId": package,
            "system": "http://gbif.org",
            "scope": "system",
            f"{_XML}lang": "en",
            f"{{{_XSI}}}schemaLocation": f"{_EML} https://rs.gbif.org/schema/eml-gbif-profile/1.3/eml.xsd",
        },
        nsmap={"eml": _EML, "xsi": _XSI},
    )
    dataset = etree.SubElement(eml, "dataset")
    # The order is that of the schema.
    _add(dataset, "title", facts.title)
    for role in ("creator", "metadataProvider"):
        _add_person(dataset, role, facts.creator)
    _add(dataset, "pubDate", facts.created[:10])
    _add(dataset, "language", "en")
    _add(etree.SubElement(dataset, "abstract"), "para", facts.abstract)
    _add_license(dataset, facts.license)
    coverage = etree.SubElement(etree.SubElement(dataset, "coverage"), "taxonomicCoverage")
    for label in run.classes.values():
        taxon = taxonomy.by_label[label]
        element = etree.SubElement(coverage, "taxonomicClassification")
        _add(element, "taxonRankName", taxon.rank)
        _add(element, "taxonRankValue", taxon.scientific_name)
        _add(element, "commonName", label)
    _add_person(dataset, "contact", facts.creator)
    step = etree.SubElement(etree.SubElement(dataset, "methods"), "methodStep")
    _add(etree.SubElement(step, "description"), "para", _method(run))
    return _serialize(eml)


def _add(parent: etree._Element, tag: str, text: str) -> None:
    etree.SubElement(parent, tag).text = xml_text(text)


def _add_person(parent: etree._Element, role: str, person: Mapping[str, str]) -> None:
    element = etree.SubElement(parent, role)
    if "surName" in person:
        name = etree.SubElement(element, "individualName")
        for key in ("givenName", "surName"):
            if key in person:
                _add(name, key, person[key])
    for key in ("organizationName", "electronicMailAddress"):
        if key in person:
            _add(element, key, person[key])


def _add_license(dataset: etree._Element, spdx: str) -> None:
    # The sentence by which GBIF recognises the license.
    title, url = _LICENSES[spdx]
    para = etree.SubElement(etree.SubElement(dataset, "intellectualRights"), "para")
    para.text = "This work is licensed under a "
    link = etree.SubElement(para, "ulink", {"url": url})
    _add(link, "citetitle", title)
    link.tail = "."


def _method(run: ScoringRun) -> str:
    return (
        f"Objects were detected in the images by {run.program} with the model of SHA-256 {run.model_hash}. A detection"
        f" is published if its score reaches the minimum score: {describe_min_scores(run.min_scores_by_name)}. No"
        " person has verified single detections. A class is absent from a deployment if none of its images has a"
        " detection of it, or of a taxon above it."
    )


def _serialize(root: etree._Element) -> bytes:
    return etree.tostring(root, encoding="UTF-8", xml_declaration=True, pretty_print=True)
