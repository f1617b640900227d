"What we add to myst-nb: nbdev's directives, formulas as MathML, and a sentence on each folded part."
import re
from html import escape

import nbformat
from docutils import nodes
from latex2mathml.converter import convert
from myst_nb.sphinx_ import HideCodeCellNode, depart_HideCellInput

INSTALL = re.compile(r"^if importlib\.util\.find_spec\('fastbook_ch4'\) is None:$", re.M)
GUESS = ("Your guess first, then click", "Hide the answer")
FOLDS = {"source": ("Show the code", "Hide the code"), "content": ("Show this cell", "Hide this cell"),
         "output": GUESS, "outputs": GUESS}


def slug(title):
    "The anchor of a heading, as Jupyter makes it."
    return title.replace(" ", "-")


def translate(cell):
    "A code cell as a reader should meet it: nbdev's directives become tags. None where it is not to be seen."
    lines = cell.source.split("\n")
    found = {m[1]: m[2].strip() for o in lines if (m := re.match(r"#\|\s*([\w-]+):?(.*)", o))}
    cell.source = "\n".join(o for o in lines if not o.startswith("#|")).strip("\n")
    unseen = {"default_exp", "exporti", "hide"} & set(found) or found.get("include") == "false"
    if not cell.source or unseen or INSTALL.search(cell.source): return None  # the site runs nothing
    tags = {"export": "export" in found or "exports" in found, "hide-input": found.get("code-fold") == "true",
            "remove-input": found.get("echo") == "false" or "hide_input" in found,
            "remove-output": found.get("output") == "false" or "hide_output" in found}
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), *(tag for tag, on in tags.items() if on)]
    return cell


def read_page(app, docname, source):
    "Sphinx's source-read: code cells pass through `translate`; links that leave nbs/ turn to the site."
    if not str(app.env.doc2path(docname)).endswith(".ipynb"): return
    nb = nbformat.reads(source[0], 4)
    nb.cells = [c for cell in nb.cells if (c := translate(cell) if cell.cell_type == "code" else cell)]
    for cell in (c for c in nb.cells if c.cell_type == "markdown"):
        for there, here in (("audit/results.md", "audit.md"), ("README.md", "index.md")):
            cell.source = cell.source.replace(f"](../{there}", f"]({here}")
    source[0] = nbformat.writes(nb)


def mathml(display):
    "A visitor that writes a formula as MathML, drawn without a script; its source is the text alternative."
    def visit(self, node):
        source = node.astext().strip()
        drawn = convert(source, display=display)
        self.body.append(drawn.replace("<math ", f'<math alttext="{escape(source)}" ', 1))
        raise nodes.SkipNode
    return visit


def visit_fold(self, node):
    "The opening of a folded part; `mystnb.code_prompt_show` in a cell's metadata is a sentence of its own."
    kind, = node["classes"]
    guess = " guess" if node["prompt_show"] in ("output", "outputs") else ""
    show, hide = (FOLDS.get(node[o], (node[o],) * 2)[i] for i, o in enumerate(("prompt_show", "prompt_hide")))
    self.body.append(f'<details class="admonition hide {kind}{guess}">\n<summary>\n'
                     f'<p class="collapsed admonition-title">{show}</p>\n'
                     f'<p class="expanded admonition-title">{hide}</p>\n</summary>\n')


def setup(app):
    app.connect("source-read", read_page)
    app.add_html_math_renderer("mathml", (mathml("inline"), None), (mathml("block"), None))
    app.add_node(HideCodeCellNode, override=True, html=(visit_fold, depart_HideCellInput))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
