"""What can be wrong with files of an object store and not with those of a disk."""


class ChangedError(OSError):
    """An object is no longer the generation that was expected."""


class AwayError(OSError):
    """The storage does not answer, or does not know who asks: no object can be read, and none is to blame."""
