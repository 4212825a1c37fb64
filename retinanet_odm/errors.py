"""Two families of failure: a bad record (the run goes on) and a bad request (the run ends with one line)."""


class DataError(Exception):
    """One record is bad, not the program. Dead letters catch this class and no other.

    Attributes:
      reason: short stable word for counters, such as ``xml_not_well_formed``.
      detail: one sentence that names the record, what was expected and what was seen.
      line: of the text file at fault, counted from 1; None where it has no lines or the place is not known.
    """

    def __init__(self, reason: str, detail: str, line: int | None = None) -> None:
        super().__init__(reason, detail, line)
        self.reason = reason
        self.detail = detail
        self.line = line

    def __str__(self) -> str:
        return self.detail


class AnnotationError(DataError):
    """An annotation file cannot be understood or contradicts its image."""


class ImageError(DataError):
    """Image bytes are not a picture that can be decoded."""


class LabelError(DataError):
    """An object's label is not in the label map."""


class RecordError(DataError):
    """A serialized example does not follow the record schema."""


class UsageError(Exception):
    """The request cannot be carried out. Each program prints it as one line and exits with its status."""

    status = 2


class TooManyRejectsError(UsageError):
    """The request is in order, but more records are bad than it allows."""

    status = 1


class ContractError(UsageError):
    """A manifest or label map is missing, of another schema version, or contradicts itself."""
