"""Renders the templates of the reports with Jinja2: every text is escaped, an unknown variable is an error."""

import base64
import functools
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from retinanet_odm.reports import charts
from retinanet_odm.reports.cells import format_number

_TEMPLATES = Path(__file__).parent / "templates"
_FLAG = re.compile(r"--[a-z_]+(=[a-z0-9_+]+)?")


def render(template: str, **values: object) -> str:
    """Renders a template.

    Args:
      template: its file name in `templates/`.
      values: the variables that it uses; text is escaped where it is written.
    """
    return _environment().get_template(template).render(values)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        # The templates are package data, so they lie beside this module also in an installed wheel.
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        # A misspelt variable would otherwise be an empty section that nobody misses.
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Names that the templates use after a bar, such as {{ value | number }}.
    environment.filters |= {
        "number": format_number,
        "advice": mark_flags,
        "jpeg_uri": jpeg_uri,
        "x": charts.to_x,
        "y": charts.to_y,
    }
    environment.globals["frame"] = charts.FRAME
    return environment


def _finalize(value: object) -> object:
    """Shows the bytes of file names that are not UTF-8 as backslash codes; such text could not be written."""
    # Markup is made by this program; only texts may contain names of files.
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def mark_flags(text: str) -> Markup:
    """Escapes text and marks its flags as code that does not break at dashes.

    Example:
      >>> mark_flags("use --image_size=640")
      Markup('use <code class="flag">--image_size=640</code>')
    """
    marked = _FLAG.sub(r'<code class="flag">\g<0></code>', str(escape(_finalize(text))))
    return Markup(marked)  # noqa: S704 - escaped in the line above


def jpeg_uri(data: bytes) -> str:
    """Encodes a JPEG image as an address that needs no file.

    Example:
      >>> jpeg_uri(b"abc")
      'data:image/jpeg;base64,YWJj'
    """
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
