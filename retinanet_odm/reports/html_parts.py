"""Self-contained HTML pages: no script, no file beside them, every text escaped.

A cell or caption of type str is text and is escaped; markup is ``Html``, which only the helpers here make.
"""

import base64
import html
import re
from collections.abc import Iterable, Sequence


class Html(str):
    """Text that is markup already and goes into the page as it is."""

    __slots__ = ()


class Figure(Html):
    """A number with markup about it; in a table it stands to the right, as numbers do."""

    __slots__ = ()


_FLAG = re.compile(r"--[a-z_]+(=[a-z0-9_+]+)?")

PageCell = str | int | float | None

_STYLE = """
:root { color-scheme: light dark; --ink: #16222b; --soft: #5b6b76; --line: #dbe2e7; --page: #fbfcfd; --card: #fff;
  --bar: #2f7f98; --track: #e8eef1;
  --error: #b3261e; --error-back: #fbe4e2; --warning: #7d5200; --warning-back: #fbecd0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4ebef; --soft: #93a4af; --line: #2a3942; --page: #10181d;
  --card: #172228; --bar: #56a9c2; --track: #22313a;
  --error: #ffb4ab; --error-back: #4a1f1c; --warning: #f3c877; --warning-back: #42320f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; font-size: 16px; }
main { max-width: 70rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; font-weight: 650; letter-spacing: -0.01em; margin: 0; }
h2 { font-size: 1.1rem; font-weight: 650; margin: 2.75rem 0 0.75rem; }
p { margin: 0.4rem 0; max-width: 46rem; }
.soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0.75rem;
  margin-top: 1.5rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem 1rem; }
.tile b { display: block; font-size: 1.55rem; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 0.875rem; }
p + .scroll { margin-top: 0.5rem; }
.scroll + p, .scroll + .gallery, .gallery + .scroll { margin-top: 1.25rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 8px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 0.9375rem; }
th, td { padding: 0.5rem 0.9rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--soft); font-weight: 500; font-size: 0.8125rem; white-space: nowrap; }
tbody th { font-weight: 500; overflow-wrap: anywhere; min-width: 8rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.text { overflow-wrap: anywhere; min-width: 9rem; }
.bar { display: block; height: 0.3rem; min-width: 4rem; margin-top: 0.3rem; border-radius: 2px;
  background: var(--track); }
.bar i { display: block; height: 100%; border-radius: 2px; background: var(--bar); }
.badge { display: inline-block; padding: 0 0.5rem; border-radius: 1rem; font-size: 0.75rem; line-height: 1.4rem;
  font-weight: 600; background: var(--track); color: var(--soft); }
.badge.error, .bad { background: var(--error-back); color: var(--error); }
.badge.warning { background: var(--warning-back); color: var(--warning); }
.bad { display: inline-block; padding: 0 0.45rem; margin-right: -0.45rem; border-radius: 4px; font-weight: 650; }
.note { display: block; color: var(--soft); font-size: 0.8125rem; font-weight: 400; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); column-gap: 2rem; }
.columns > section { min-width: 0; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.875em;
  overflow-wrap: anywhere; }
code.flag { white-space: nowrap; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; break-inside: avoid; }
figure img { display: block; width: 100%; height: auto; border-radius: 6px; background: var(--track); }
figcaption { color: var(--soft); font-size: 0.8125rem; margin-top: 0.35rem; overflow-wrap: anywhere; }
@media (max-width: 40rem) { main { padding-top: 1.5rem; } th, td { padding: 0.45rem 0.6rem; }
  .bar { min-width: 2.5rem; } }
@media print { body { font-size: 11pt; } main { max-width: none; padding: 0; } h2 { break-after: avoid; }
  tr { break-inside: avoid; } .scroll { overflow: visible; }
  .bar, .bar i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def escape_html(text: object) -> Html:
    """Text as markup; Html stays as it is. File names that are not UTF-8 show their odd bytes as backslash codes."""
    if isinstance(text, Html):
        return text
    return Html(html.escape(str(text).encode("utf-8", "backslashreplace").decode()))


def page(title: str, sections: Iterable[Html], *, lead: str = "") -> str:
    """A whole document: title, a sentence under it, and sections."""
    sentence = f'<p class="soft">{escape_html(lead)}</p>' if lead else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape_html(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body><main>\n<header><h1>{escape_html(title)}</h1>{sentence}</header>\n{''.join(sections)}</main></body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> Html:
    """A headed part of a page; parts that are plain text become paragraphs."""
    body = "".join(part if isinstance(part, Html) else paragraph(part) for part in parts)
    return Html(f"<section><h2>{escape_html(heading)}</h2>\n{body}</section>\n")


def paragraph(text: str) -> Html:
    return Html(f"<p>{escape_html(text)}</p>\n")


def tiles(values: Iterable[tuple[str, PageCell]]) -> Html:
    """Large figures with their names."""
    inner = "".join(
        f'<div class="tile"><b>{format_number(value)}</b><span>{escape_html(name)}</span></div>'
        for name, value in values
    )
    return Html(f'<div class="tiles">{inner}</div>\n')


def html_table(headers: Sequence[str], rows: Iterable[Sequence[PageCell]]) -> Html:
    """A table whose first column names the row; columns that hold numbers or bars are set to the right."""
    filled = [list(row) for row in rows]
    columns = list(zip(*filled, strict=True)) or [()] * len(headers)
    classes = ["number" if any(map(_is_number, column)) else "text" for column in columns]
    named = "".join(f'<th class="{kind}">{escape_html(name)}</th>' for kind, name in zip(classes, headers, strict=True))
    head = f"<thead><tr>{named}</tr></thead>\n" if any(headers) else ""
    body = "".join(_row(classes, row) for row in filled)
    return Html(f'<div class="scroll"><table>{head}<tbody>\n{body}</tbody></table></div>\n')


def _is_number(cell: PageCell) -> bool:
    return isinstance(cell, (int, float, Figure))


def _row(classes: Sequence[str], row: Sequence[PageCell]) -> str:
    first = f'<th scope="row">{format_number(row[0])}</th>'
    rest = "".join(
        f'<td class="{kind}">{format_number(cell)}</td>' for kind, cell in zip(classes[1:], row[1:], strict=True)
    )
    return f"<tr>{first}{rest}</tr>\n"


def format_number(value: PageCell) -> Html:
    """A number as people read it: 12,345; 0.713; a dash for none. Text is escaped."""
    if value is None or value != value:  # NaN: there was nothing to average
        return Html("–")
    if isinstance(value, str):
        return escape_html(value)
    return Html(f"{value:,}" if isinstance(value, int) else f"{value:.3f}")


def bar(value: float | None, maximum: float) -> Figure:
    """A number over a thin bar, its length the share of maximum."""
    share = 0.0 if value is None or not maximum > 0 or value != value else min(max(value / maximum, 0.0), 1.0)
    return Figure(f'{format_number(value)}<span class="bar"><i style="width:{share:.1%}"></i></span>')


def percent(share: float, *, is_bad: bool = False) -> Figure:
    """A share of 1 in per cent, rounded down, so that 100% is all; a bad one is marked so that it is seen at once."""
    whole = int(share * 100 + 1e-9)  # 0.29 * 100 is 28.999…
    text = "&lt;1%" if share > 0 and not whole else f"{whole}%"
    return Figure(f'<span class="bad">{text}</span>' if is_bad else text)


def badge(severity: str) -> Html:
    """The word of a severity in its colour: error, warning or info."""
    return Html(f'<span class="badge {escape_html(severity)}">{escape_html(severity)}</span>')


def titled(title: str, note: str) -> Html:
    """A title with a small note under it, for a cell."""
    return Html(f'{escape_html(title)}<span class="note">{escape_html(note)}</span>')


def advice(text: str) -> Html:
    """Text in which flags such as ``--image_size=640`` stand out, and never break at their dashes."""
    return Html(_FLAG.sub(r'<code class="flag">\g<0></code>', escape_html(text)))


def columns(*sections: Html) -> Html:
    """Sections side by side where there is room, one below the other where there is none."""
    return Html(f'<div class="columns">{"".join(sections)}</div>\n')


def code(text: object) -> Html:
    return Html(f"<code>{escape_html(text)}</code>")


def data_uri(data: bytes, mime: str) -> str:
    """Bytes as an address that needs no file."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def figures(images: Iterable[tuple[str, bytes]]) -> Html:
    """A grid of JPEG pictures with captions."""
    inner = "".join(
        f'<figure><img loading="lazy" alt="{escape_html(caption)}" src="{data_uri(data, "image/jpeg")}">'
        f"<figcaption>{escape_html(caption)}</figcaption></figure>\n"
        for caption, data in images
    )
    return Html(f'<div class="gallery">{inner}</div>\n')
