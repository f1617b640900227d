"""Turn executed notebooks into HTML pages that need no network: formulas as MathML, styles and pictures inside."""
import html
import re

from bs4 import BeautifulSoup
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

CSS = """
:root { --ink:#1d2230; --soft:#5d6472; --line:#dfe2e8; --paper:#fff; --code:#f6f7f9; --mark:#1f77b4; --says:#c2185b; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 17px/1.6 Georgia, 'DejaVu Serif', serif; }
nav, main, footer { max-width: 1000px; margin: 0 auto; padding: 0 20px; }
nav { display: flex; justify-content: space-between; gap: 12px; padding-top: 14px; padding-bottom: 10px;
      border-bottom: 1px solid var(--line); font: 14px/1.4 system-ui, sans-serif; }
footer { padding-top: 12px; padding-bottom: 48px; color: var(--soft); font: 14px/1.4 system-ui, sans-serif; }
a { color: var(--mark); text-decoration-thickness: 1px; text-underline-offset: 2px; }
p, ul, ol, blockquote, h1, details { max-width: 46em; }
details.code { max-width: none; }
h1, h2, h3, summary, th { font-family: system-ui, 'DejaVu Sans', sans-serif; }
h1 { font-size: 2em; line-height: 1.2; margin: 28px 0 6px; }
h2 { font-size: 1.35em; margin: 44px 0 6px; padding-top: 12px; border-top: 1px solid var(--line); }
h3 { font-size: 1.1em; margin: 28px 0 4px; }
blockquote { margin: 12px 0; padding: 0 0 0 14px; border-left: 4px solid var(--mark);
             color: var(--soft); font-size: 1.1em; }
pre, code { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 13.5px; }
p code, li code, td code, summary code { background: var(--code); padding: 1px 4px; border-radius: 4px; }
pre { margin: 0; padding: 10px 12px; overflow-x: auto; line-height: 1.45; white-space: pre; }
.code_cell { margin: 14px 0; }
.input_area, .highlight { background: var(--code); border-radius: 6px; }
.prompt, .anchor-link, .input_prompt, .output_prompt { display: none; }
.celltag_export .input_area { border-left: 4px solid var(--mark); position: relative; padding-top: 12px; }
.celltag_export .input_area::before { content: 'in the package'; position: absolute; right: 8px; top: 3px;
      font: 11px system-ui, sans-serif; color: var(--mark); }
.output_wrapper pre { background: none; color: var(--ink); padding: 6px 12px; border-left: 2px solid var(--line);
      white-space: pre-wrap; }
.output_wrapper img, .output_png img { max-width: 100%; height: auto; }
h1 code, h2 code, h3 code { font-size: .88em; }
table { border-collapse: collapse; border: 0; font: 14px/1.45 system-ui, sans-serif; margin: 10px 0; max-width: 100%; }
th, td { padding: 4px 10px; border: 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.output_wrapper { overflow-x: auto; }
table.says { width: 46em; border: 1px solid var(--says); border-radius: 6px; border-collapse: separate;
             border-spacing: 0; }
table.says th { color: var(--says); border-bottom: 0; padding-bottom: 0; font-size: 12.5px; }
table.says td { border-bottom: 0; width: 50%; font-size: 15px; }
table.says small { color: var(--soft); font-weight: normal; }
details { margin: 8px 0; padding: 6px 12px; border: 1px solid var(--line); border-radius: 6px; }
details.code { padding: 2px 12px; }
summary { cursor: pointer; color: var(--soft); font-size: 15px; }
math { font-size: 1.05em; } math[display=block] { margin: 10px 0; }
ol.series { list-style: none; padding: 0; } ol.series li { padding: 10px 0; border-bottom: 1px solid var(--line); }
ol.series .time { float: right; color: var(--soft); font: 14px system-ui, sans-serif; }
ol.series p { margin: 0; color: var(--soft); }
@media print { nav { display: none; } details { border: 0; } }
"""

_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.S)
_MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$(?!\s)([^$\n]+?)(?<!\s)\$(?![\w$])", re.S)


def title_of(nb):
    "The title of a page and its one line below it, from the first heading."
    for cell in nb.cells:
        if cell.cell_type == "markdown" and (m := re.match(r"#\s+(.+?)\n+(?:>\s*(.+))?", cell.source + "\n")):
            return m[1].strip(), (m[2] or "").strip()
    return "Untitled", ""


def _math_out(source, kept):
    "Replace each formula by a token; code spans stay as they are."
    def token(m):
        kept.append(convert((m[1] or m[2]).strip(), display="block" if m[1] else "inline"))
        return f"XMATHX{len(kept) - 1}X"
    return "".join(part if part.startswith("`") else _MATH.sub(token, part) for part in _CODE.split(source))


def _prepare(nb, kept):
    "A copy to render: directives become tags, hidden cells go, formulas become tokens."
    nb = nb.__class__(nb, cells=[c.copy() for c in nb.cells])
    shown = []
    for c in nb.cells:
        c.metadata = dict(c.metadata)
        if c.cell_type == "markdown":
            c.source = _math_out(re.sub(r"<!--.*?-->\n?", "", c.source, flags=re.S), kept)
        else:
            directives = re.findall(r"(?m)^#\|\s*([\w-]+)", c.source)
            c.source = re.sub(r"(?m)^#\|.*\n?", "", c.source).strip("\n")
            c.metadata["tags"] = [d for d in directives if d in ("export", "code-fold")]
            if "hide" in directives or not c.source: continue
            c.outputs = [_stream_plain(o) for o in c.outputs]
        if c.source.strip(): shown.append(c)
    nb.cells = shown
    return nb


def _stream_plain(output):
    "Drop what a terminal needs and a page does not: rewritten lines of a progress bar."
    if output.get("output_type") == "stream":
        output = output.copy()
        output["text"] = "\n".join(line.rsplit("\r", 1)[-1] for line in output["text"].split("\n"))
    return output


def _fold(body):
    "Put the code of cells tagged code-fold behind a summary; tables get a scope for screen readers."
    soup = BeautifulSoup(body, "html.parser")
    for cell in soup.select(".celltag_code-fold"):
        if box := cell.select_one(".input_area") or cell.select_one(".highlight"):
            details, summary = soup.new_tag("details", attrs={"class": "code"}), soup.new_tag("summary")
            summary.string = "Show the code"
            box.wrap(details)
            details.insert(0, summary)
    for a in soup.select("a[href]"):
        if re.fullmatch(r"[\w-]+\.ipynb(#.*)?", a["href"]): a["href"] = a["href"].replace(".ipynb", ".html")
    return str(soup)


def _shell(title, body, nav="", foot=""):
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
            f"<style>{CSS}{HtmlFormatter(style='friendly').get_style_defs('.highlight')}\n"
            f".highlight, .highlight pre {{ background: var(--code); }}</style></head>\n<body>"
            f"{nav}<main>{body}</main>{foot}</body></html>\n")


def page_html(nb, stem, stems):
    "One page with links to its neighbours; everything it shows is inside."
    kept = []
    exporter = HTMLExporter(template_name="basic")
    body, _ = exporter.from_notebook_node(_prepare(nb, kept))
    body = _fold(body)
    for i, mathml in enumerate(kept): body = body.replace(f"XMATHX{i}X", mathml)
    at = stems.index(stem)
    before = f'<a href="{stems[at - 1]}.html">&larr; {stems[at - 1]}</a>' if at else "<span></span>"
    after = f'<a href="{stems[at + 1]}.html">{stems[at + 1]} &rarr;</a>' if at + 1 < len(stems) else "<span></span>"
    nav = f'<nav aria-label="Pages">{before}<a href="index.html">All pages</a>{after}</nav>'
    foot = nav.replace("<nav", "<footer").replace("</nav", "</footer").replace(' aria-label="Pages"', "")
    return _shell(f"{stem[:2]} {title_of(nb)[0]}", body, nav, foot)


def index_html(entries, seconds, extra=None):
    "The list of pages in reading order; `entries` are (stem, title, line), `seconds` the time each took in this run."
    items = "".join(
        f'<li><span class="time">{f"{seconds[stem]:.0f} s" if stem in seconds else ""}</span>'
        f'<a href="{stem}.html">{stem[:2]} &nbsp;{html.escape(title)}</a><p>{html.escape(line)}</p></li>'
        for stem, title, line in entries)
    more = f'<p><a href="{extra}">Scorecard</a>: every figure of the chapter beside ours, from this run.</p>'
    line = "From pixels to a resnet: every figure on these pages was computed on this machine."
    return _shell("MNIST basics, executed", f"<h1>MNIST basics, executed</h1><blockquote><p>{line}</p></blockquote>"
                  f'<ol class="series">{items}</ol>{more if extra else ""}')
