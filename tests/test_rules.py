"The law of the house, read off the notebooks and the package."
import ast
import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest
from fastcore.docments import docments

from pages import PAGES, ROOT, code_cells, code_of, exports, folded, read, stem, text_of

PACKAGE = sorted(p for p in (ROOT / "fastbook_ch4").glob("[a-z]*.py") if p.stem != "all")
MODULES = [p.stem for p in PACKAGE]
NUMBER = {stem(p): int(p.stem[:2]) for p in PAGES}
PUBLIC = {
    "data": "mnist_sample show_digits same_shape is_standin is_mnist read_images load_sample Sample",
    "similarity": "ideal_digit mnist_distance rms_distance is_3",
    "rollercoaster": "rollercoaster quadratic mse apply_step descend",
    "linear": "init_params linear sigmoid mnist_loss batch_accuracy",
    "sgd": "calc_grad train_epoch validate_epoch dataloaders init_params linear sigmoid mnist_loss batch_accuracy",
    "learner": "BasicOptim train_model mnist_dls linear_learner StopOnNaN",
    "nonlinearity": "simple_net collapse_linear net_learner",
    "resnet": "resnet_learner",
    "seeds": "train_seeds",
    "questions": None,  # its checks
}
by_page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
by_module = pytest.mark.parametrize("name", MODULES)

def tree(name): return ast.parse((ROOT / "fastbook_ch4" / f"{name}.py").read_text(encoding="utf-8"))

def imports(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom): yield node, "." * node.level + (node.module or "")
        if isinstance(node, ast.Import): yield node, node.names[0].name

def code_lines(source):
    "Lines of code: no blank ones, no comments, no docstrings."
    said = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            said |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return sum(bool(o.strip()) and o.lstrip()[0] != "#" and i not in said for i, o in enumerate(source.splitlines(), 1))

def lines(*patterns):
    return sum(len(p.read_text(encoding="utf-8").splitlines()) for o in patterns for p in ROOT.glob(o)
               if p.name != "_modidx.py")

def full_lines(pattern):
    return sum(bool(line.strip()) for p in ROOT.glob(pattern) for line in p.read_text(encoding="utf-8").splitlines())

# The budgets

def test_budgets():
    own = [c.source for p in PAGES if p.stem[:2] <= "08" for c in code_cells(read(p)) if exports(c)]
    assert sum(map(code_lines, own)) <= 480, "exported lines of 00 to 08, without docstrings; 700 with them"
    assert sum(bool(line.strip()) for s in own for line in s.splitlines()) <= 700
    assert lines("fastbook_ch4/*.py") <= 1000
    assert lines("tools/*.py") <= 300
    assert full_lines("tests/*.py") <= 2000

def test_modules_and_stems_are_the_same_set():
    exporting = {c.source.split()[2] for p in PAGES for c in code_cells(read(p)) if c.source.startswith("#| default_exp ")}
    assert exporting == set(MODULES) and all(o in NUMBER for o in MODULES)

# The page

@by_page
def test_outputs_are_there_small_and_clean(path):
    cells = code_cells(read(path))
    outputs = [o for c in cells for o in c.outputs]
    assert outputs, "no outputs: make outputs"
    assert len(json.dumps(outputs)) <= 150_000
    for c in cells:
        for o in c.outputs:
            assert o.output_type != "error" and o.get("name") != "stderr", c.source
            assert not any("widget" in k for k in o.get("data", {})), c.source
            said = text_of(o) + str(o.get("data", {}).get("text/html", ""))
            bad = re.search(r"(?<![\w.])/(root|home|Users|work|private|var|tmp)/[\w.-]+|\w*Warning: |widget-view", said)
            assert bad is None, f"{bad[0]!r} in the output of: {c.source}"
    assert any("digits: mnist_sample.tgz" in text_of(o) for o in outputs) or "load_sample()" not in str(cells), \
        "the committed outputs are not from MNIST_SAMPLE"

@by_page
def test_pictures_have_a_text_alternative(path):
    for cell in code_cells(read(path)):
        if any("image/png" in o.get("data", {}) for o in cell.outputs):
            assert len(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")) >= 15, cell.source

@by_page
def test_page_begins_and_ends_as_all_pages_do(path):
    cells = read(path).cells
    marks = [c for c in cells if c.cell_type == "markdown"]
    assert re.match(r"# \S.*\n\n> \S", marks[0].source), "a page begins with `# Title`, an empty line and `> one line`"
    seen = 0
    for c in cells:  # something to look at, before much code
        if any({"image/png", "text/html"} & o.get("data", {}).keys() for o in c.get("outputs", [])): break
        if c.cell_type == "code" and not folded(c): seen += len(code_of(c).splitlines())
    assert seen <= 15, f"{seen} lines of code stand before the first thing to look at"
    if path.stem[:2] < "21":
        text = "\n".join(c.source for c in marks)
        for part in ("**Predict", "Your turn", "## Summary", "## Questions", "<details>"): assert part in text, part
    if path != PAGES[-1]: assert re.search(r"\]\(\d\d_\w+\.ipynb\)", "\n".join(c.source for c in marks[-3:]))

@by_page
def test_code_is_short_and_rests_between(path):
    run = 0
    for cell in read(path).cells:
        run = run + 1 if cell.cell_type == "code" and not folded(cell) else 0
        assert run <= 4, f"more than four code cells in a row: {cell.source}"
        if cell.cell_type == "code" and not exports(cell):
            assert len(code_of(cell).splitlines()) <= 25, f"more than 25 lines: {cell.source}"

@by_page
def test_few_assertions_and_few_prints(path):
    lesson = [code_of(c) for c in code_cells(read(path)) if not exports(c)]
    checks = [s for s in lesson if re.search(r"^\s*(assert\b|test_\w+\()", s, re.M)]
    prints = [s for s in lesson if s.splitlines()[-1].startswith("print(")] if all(lesson) else []
    assert len(checks) <= len(lesson) / 4 and len(prints) <= max(1, len(lesson) * .05)

@by_page
def test_no_audit_on_a_lesson(path):
    if stem(path) == "measured": return
    text = "\n".join(c.source for c in read(path).cells)
    bad = re.search(r"\b[NC]\d\d\b|chapter_says|\bif real\b|\bif is_mnist|#\| chapter|\baudit\.|[Tt]he chapter says", text)
    assert bad is None, bad[0]

@by_page
def test_folding_is_told_to_jupyter_and_to_the_site(path):
    for c in code_cells(read(path)):
        tags, jupyter = set(c.metadata.get("tags", [])), c.metadata.get("jupyter", {})
        assert bool(tags & {"hide-input", "hide-cell"}) == jupyter.get("source_hidden", False), c.source
        assert bool(tags & {"hide-output", "hide-cell"}) == jupyter.get("outputs_hidden", False), c.source

# The package

@by_module
def test_modules_import_lower_numbers_by_public_names(name):
    for node, module in imports(name):
        if not isinstance(node, ast.ImportFrom): continue
        assert [a.name for a in node.names] != ["*"], ast.unparse(node)
        if node.level:
            assert NUMBER[module.strip(".")] < NUMBER[name], ast.unparse(node)
            assert not any(a.name.startswith("_") for a in node.names), ast.unparse(node)

def test_heavy_libraries_stay_out_of_the_first_modules():
    for name in MODULES:
        top = {o.names[0].name.split(".")[0] if isinstance(o, ast.Import) else (o.module or "").split(".")[0]
               for o in tree(name).body if isinstance(o, ast.Import | ast.ImportFrom)}
        assert "matplotlib" not in top and (NUMBER[name] >= 6 or not top & {"fastai", "torchvision"}), name
    code = ("import sys, fastbook_ch4.similarity; "
            "print(sorted({'fastai', 'matplotlib', 'torchvision', 'pandas'} & {o.split('.')[0] for o in sys.modules}))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"

def public(name):
    module = importlib.import_module(f"fastbook_ch4.{name}")
    return [(o, getattr(module, o)) for o in module.__all__]

@by_module
def test_public_names_are_those_of_the_design(name):
    names = {o for o, _ in public(name)}
    assert all(o.startswith("check_") for o in names) if PUBLIC[name] is None else names == set(PUBLIC[name].split())

@by_module
def test_public_names_say_what_they_do_and_a_lesson_uses_them(name):
    page = next(p for p in PAGES if stem(p) == name)
    lesson = "\n".join(code_of(c) for c in code_cells(read(page)) if not exports(c))
    for o, obj in public(name):
        if obj.__module__ != f"fastbook_ch4.{name}": continue
        doc = inspect.getdoc(obj) or ""
        assert re.search(r"Examples\n-+\n>>> ", doc), f"{o} has no Examples doctest"
        assert doc.splitlines()[0].endswith("."), o
        assert re.search(rf"\b{o}\b", lesson), f"{o}: no lesson cell of {page.name} uses it"
        if inspect.isclass(obj): continue
        bare = [k for k, v in docments(obj, full=True).items()
                if k != "return" and not v.docment and v.anno is inspect.Parameter.empty
                and v.default is inspect.Parameter.empty]
        assert not bare, f"{o}: neither type nor comment for {bare}"

def test_all_gives_every_public_name():
    everything = importlib.import_module("fastbook_ch4.all")
    assert {o for name in MODULES for o, _ in public(name)} <= set(everything.__all__)

def test_lock_names_no_index_and_pins_everything():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock and "--" not in lock
    pins = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    assert all(re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", line) for line in pins)
    wanted = re.findall(r"(?m)^    ([\w-]+)[>=]", (ROOT / "settings.ini").read_text(encoding="utf-8"))
    have = {re.split(r"[\[=]", line)[0].lower().replace("_", "-") for line in pins}
    assert {w.lower().replace("_", "-") for w in wanted} <= have
