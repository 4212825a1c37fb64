"""Two families of errors: a bad record (the run continues) and a bad request (the program ends with one line).

Begin here to see how a failure ends: `retinanet_odm.cli.program` turns every UsageError into an exit status, and dead
letters of the Beam jobs catch DataError and nothing else. Any other exception is a bug and keeps its stack trace.
"""


class DataError(Exception):
    """One record is bad, not the program. Dead letters catch this class and no other.

    Attributes:
      reason: Short stable word for counters, such as ``xml_not_well_formed``.
      detail: One sentence that names the record, what was expected and what was found.
      line: Line of the text file where the error is, counted from 1; None if it has no lines or the line is unknown.
    """

    def __init__(self, reason: str, detail: str, line: int | None = None) -> None:
        super().__init__(reason, detail, line)
        self.reason = reason
        self.detail = detail
        self.line = line

    def __str__(self) -> str:
        return self.detail


class AnnotationError(DataError):
    """An annotation file cannot be parsed or contradicts its image."""


class ImageError(DataError):
    """Image bytes cannot be decoded as an image."""


class ArchiveError(DataError):
    """A member of an archive cannot be read."""


class LabelError(DataError):
    """The label of an object is not in the label map."""


class RecordError(DataError):
    """A serialized example does not follow the record schema."""


class UsageError(Exception):
    """The request cannot be carried out. Each program prints it as one line and exits with its status."""

    status = 2


class TooManyRejectsError(UsageError):
    """The request is valid, but more records are bad than it allows."""

    status = 1


class ContractError(UsageError):
    """A manifest or label map is missing, has another schema version, or contradicts itself."""
