"""Public names of a room that are imported when they are first used, so that importing the room stays light."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def lazy_exports(room: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a room, which Python calls for a name that the room does not define.

    Args:
      room: the name of the package.
      modules: by public name, the module of the room that defines it.

    Example:
      >>> import_name = lazy_exports("retinanet_odm.storage", {"read_bytes": "files"})
      >>> import_name("read_bytes").__module__
      'retinanet_odm.storage.files'
    """

    def import_name(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        # Python finds the module in sys.modules from the second call on.
        return getattr(importlib.import_module(f"{room}.{modules[name]}"), name)

    return import_name
