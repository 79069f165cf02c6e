"""Pieces of a self-contained HTML page: no scripts, nothing fetched, everything escaped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from nas.analysis.svg import css_variables

_STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--accent:#0b5d96;--soft:#eef2f6;%LIGHT%}
@media (prefers-color-scheme:dark){:root{--page:#14171c;--card:#1b1f26;--accent:#7cc0ee;
--soft:#242a33;%DARK%}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",Arial,sans-serif}
main,header{max-width:1040px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.12rem;margin:0 0 10px}
p{margin:0 0 10px;max-width:75ch}
header p,.note,figcaption{color:var(--muted)}
.note,figcaption{font-size:.87rem}
nav{display:flex;flex-wrap:wrap;gap:4px 16px;margin:10px 0 16px;font-size:.9rem}
a{color:var(--accent)}
section{background:var(--card);border:1px solid var(--grid);border-radius:8px;
padding:18px 20px;margin:0 0 16px}
.verdict{font-size:1.02rem;background:var(--soft);border-left:4px solid var(--accent);
border-radius:0 6px 6px 0;padding:10px 14px;max-width:none}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:5px 22px 5px 0;border-top:1px solid var(--grid)}
tr:first-child>*{border-top:0}
thead th{color:var(--muted);font-weight:600;white-space:nowrap;
border-bottom:1px solid var(--muted)}
tbody tr:first-child>*{border-top:0}
tbody th{font-weight:600;white-space:nowrap}
td{overflow-wrap:anywhere}
.wide+.note{margin-top:8px}
td.n,th.n{text-align:right;white-space:nowrap}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{background:var(--soft);border-radius:6px;padding:10px 12px;margin:0 0 10px;overflow-x:auto;
font-size:.85rem;line-height:1.35}
figure{margin:0 0 14px}
figure.scroll{overflow-x:auto}
svg{display:block;max-width:100%;height:auto}
figure.scroll>svg{max-width:max(100%,720px)}
.cells{display:flex;flex-wrap:wrap;gap:6px 36px}
.cells>div{max-width:100%}
svg *{stroke-linejoin:round;stroke-linecap:butt}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));
gap:18px 24px}
.charts figure{margin:0}
section>:last-child{margin-bottom:0}
summary{cursor:pointer;color:var(--muted);font-size:.87rem;margin-bottom:6px}
ul{margin:0;padding-left:1.2em}
li{margin-bottom:5px;max-width:80ch}
footer{max-width:1040px;margin:0 auto;padding:0 20px 28px;color:var(--muted);font-size:.85rem}
@media print{:root{--page:#fff;--card:#fff;--soft:#f3f5f7;--accent:#0b5d96;%LIGHT%}
body{font-size:10.5pt}nav,summary{display:none}section{border:0;padding:0;margin:0 0 16pt}
main,header,footer{padding:0;max-width:none}figure,tr,li,.wide,.verdict,pre{break-inside:avoid}
h2{break-after:avoid}.wide,pre,figure.scroll{overflow:visible}
figure.scroll>svg{max-width:100%}pre{white-space:pre-wrap}
.charts{grid-template-columns:1fr 1fr}}
"""


@dataclass(frozen=True)
class Html:
    """Text that is markup already; every plain string is escaped where it enters a page."""

    text: str


Cell = str | Html


@dataclass(frozen=True)
class Section:
    """A part of the page; one without a body is left out."""

    name: str
    title: str
    body: str


def markup(value: Cell) -> str:
    """Return a cell's markup: plain text escaped, `Html` as it is."""
    return value.text if isinstance(value, Html) else escape(value, quote=True)


def page(title: str, lead: Sequence[Cell], sections: Iterable[Section]) -> str:
    """Return a whole HTML document.

    Args:
        title: the heading, plain text.
        lead: paragraphs below the heading.
        sections: those with a body, in order, are shown and listed at the top.
    """
    shown = [section for section in sections if section.body]
    links = "".join(f'<a href="#{s.name}">{escape(s.title)}</a>' for s in shown)
    light, dark = css_variables(dark=False), css_variables(dark=True)
    style = _STYLE.replace("%LIGHT%", light).replace("%DARK%", dark).strip()
    body = "\n".join(
        f'<section id="{s.name}">\n<h2>{escape(s.title)}</h2>\n{s.body}\n</section>' for s in shown
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(title)}</title>",
            f"<style>\n{style}\n</style>",
            "</head>",
            "<body>",
            f"<header>\n<h1>{escape(title)}</h1>",
            *(f"<p>{markup(text)}</p>" for text in lead),
            f'<nav aria-label="sections">{links}</nav>\n</header>' if shown else "</header>",
            f"<main>\n{body}\n</main>",
            "<footer>One file: no scripts, nothing loaded from elsewhere.</footer>",
            "</body>",
            "</html>",
            "",
        ]
    )


def pairs_table(rows: Iterable[tuple[str, Cell]]) -> str:
    """Return a table of labels and values, "" where there are none."""
    body = "".join(
        f'<tr><th scope="row">{escape(label.strip())}</th><td>{markup(value)}</td></tr>\n'
        for label, value in rows
    )
    return f'<div class="wide"><table><tbody>\n{body}</tbody></table></div>' if body else ""


def grid_table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Return a table with a head, "" without rows; columns that are empty throughout are left out.

    A column whose filled cells all begin with a digit is set to the right, as numbers are.
    """
    content = [[markup(cell) for cell in row] for row in rows]
    if not content:
        return ""
    used = [i for i in range(len(columns)) if any(row[i] for row in content)]
    numeric = {i for i in used if i and all(r[i][:1].isdigit() for r in content if r[i])}
    marks = {i: ' class="n"' if i in numeric else "" for i in used}
    head = "".join(f'<th scope="col"{marks[i]}>{escape(columns[i])}</th>' for i in used)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{row[i]}</th>' if i == 0 else f"<td{marks[i]}>{row[i]}</td>"
            for i in used
        )
        + "</tr>\n"
        for row in content
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"
    return f'<div class="wide">{table}</div>'


def bullets(items: Iterable[Cell]) -> str:
    """Return a list, "" where there are no items."""
    body = "".join(f"<li>{markup(item)}</li>\n" for item in items)
    return f"<ul>\n{body}</ul>" if body else ""


def note(text: str) -> str:
    """Return a paragraph in small print."""
    return f'<p class="note">{escape(text)}</p>'
