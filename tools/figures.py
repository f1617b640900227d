"Every figure that a page's prose prints must stand in an output or in the code of that page."
import re
import tomllib
from pathlib import Path

ALLOWED = Path(__file__).resolve().parent.parent / "tests" / "figures_allowed.toml"
FIGURE = re.compile(r"(?<![\w.,])(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(\s?(?:%|percent))?(?![\w]|\.\d)")
NUMBER = re.compile(r"\d+(?:_\d+)*(?:,\d{3})*\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?")

def figures(nb):
    "The figures of the prose: 3 significant digits, decimals, or a percentage; not code, not addresses."
    text = "\n\n".join(c.source for c in nb.cells if c.cell_type == "markdown")
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)|<[^>]+>|https?:\S+", " ", text, flags=re.S)
    return [m[0] for m in FIGURE.finditer(text) if m[2] or m[3] or len(m[1].replace(",", "").strip("0")) > 2]

def pool(nb):
    "Every number in the text outputs and the sources of the code cells."
    texts = []
    for c in (c for c in nb.cells if c.cell_type == "code"):
        texts.append(c.source)
        for o in c.outputs:
            texts += [o.get("text", ""), *(str(v) for k, v in o.get("data", {}).items() if k[:5] == "text/")]
    found = [m.replace("_", "") for t in texts for m in NUMBER.findall(t)]
    return {float(o) for m in found for o in (m.replace(",", ""), *m.split(",")) if o}

def unsupported(nb, allowed=()):
    "The figures that neither an output nor the code gives, rounded to the digits printed."
    numbers, missing = pool(nb), []
    for figure in figures(nb):
        value, scales = figure.replace(",", "").rstrip("% percnt"), (1, 100) if figure[-1] in "%t" else (1,)
        half = .5001 * 10 ** -len(value.partition(".")[2])
        near = any(abs(n * k - float(value)) <= half for n in numbers for k in scales)
        if not near and figure not in allowed: missing.append(figure)
    return missing

def allowed(stem): return tomllib.loads(ALLOWED.read_text(encoding="utf-8")).get(stem, {})
