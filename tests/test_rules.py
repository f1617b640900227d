"The rules of the house, read off the notebooks and the package."
import ast
import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from fastcore.docments import docments

from pages import PAGES, ROOT, code_cells, code_of, directives, read, stem

NUMBER = {stem(p): int(p.stem[:2]) for p in PAGES}
MODULES = [stem(p) for p in PAGES if (ROOT / "fastbook_ch4" / f"{stem(p)}.py").exists()]
by_page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
by_module = pytest.mark.parametrize("name", MODULES)


def tree(name): return ast.parse((ROOT / "fastbook_ch4" / f"{name}.py").read_text(encoding="utf-8"))


def texts(output):
    "Every text of an output that a reader could see, pictures left out."
    data = output.get("data", {})
    parts = [output.get("text", "")] + [v for k, v in data.items() if not k.startswith("image/")]
    return "\n".join(p if isinstance(p, str) else json.dumps(p) for p in parts)


# Rule 1: notebooks

@by_page
def test_outputs_are_there_and_small(path):
    outputs = [o for c in code_cells(read(path)) for o in c.outputs]
    assert outputs, "no outputs: execute the page with tools/run.py --save"
    assert len(json.dumps(outputs)) <= 150_000


@by_page
def test_outputs_hold_no_errors_warnings_paths_or_widgets(path):
    for cell in code_cells(read(path)):
        for o in cell.outputs:
            assert o.output_type != "error" and o.get("name") != "stderr", cell.source
            assert not any("widget" in k for k in o.get("data", {})), cell.source
            bad = re.search(r"(?<![\w.])/(root|home|Users|work|private|var)/[\w.-]+|\w*Warning: |widget-view", texts(o))
            assert bad is None, f"{bad[0]!r} in the output of: {cell.source}"


@by_page
def test_pictures_have_a_text_alternative(path):
    for cell in code_cells(read(path)):
        for o in cell.outputs:
            if "image/png" in o.get("data", {}):
                assert len(o.metadata.get("image/png", {}).get("alt", "")) >= 15, cell.source
    for cell in read(path).cells:
        if cell.cell_type == "markdown": assert not re.search(r"!\[\]\(|!\[.*\]\(http", cell.source), cell.source


# Style of a page

@by_page
def test_page_begins_and_ends_as_all_pages_do(path):
    nb = read(path)
    assert nb.cells[0].source.startswith(f"#| default_exp {stem(path)}") or stem(path) not in MODULES
    title = next(c.source for c in nb.cells if c.cell_type == "markdown")
    assert re.match(r"# \S.*\n\n> \S", title), "a page begins with `# Title`, an empty line and `> one line`"
    headings = [c.source for c in nb.cells if c.cell_type == "markdown" and c.source.startswith("## ")]
    assert "## Summary" in headings or stem(path) == "questionnaire"
    assert "## Questions" in headings or stem(path) == "questionnaire"
    if path != PAGES[-1]:
        assert re.search(r"\]\(\d\d_\w+\.ipynb\)", nb.cells[-1].source), "the last cell links to the next page"


@by_page
def test_no_wall_of_code(path):
    nb, run = read(path), 0
    for cell in nb.cells:
        run = run + 1 if cell.cell_type == "code" and "hide" not in directives(cell) else 0
        assert run <= 4, f"more than four code cells in a row: {cell.source}"
    for cell in code_cells(nb):
        if "export" not in directives(cell):
            assert len(code_of(cell).strip().splitlines()) <= 25, f"a lesson cell of more than 25 lines: {cell.source}"


@by_page
def test_cells_end_in_a_value_not_in_print(path):
    cells = code_cells(read(path))
    prints = [c.source for c in cells if code_of(c).strip().splitlines()[-1:] and
              code_of(c).strip().splitlines()[-1].startswith("print(")]
    assert len(prints) <= len(cells) * .05, prints


@by_page
def test_every_code_cell_is_python(path):
    for cell in code_cells(read(path)):
        if not code_of(cell).lstrip().startswith(("%", "!")): ast.parse(code_of(cell))


# Rule 2: imports

@by_module
def test_module_imports_lower_numbers_only_and_no_stars(name):
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ImportFrom):
            assert [a.name for a in node.names] != ["*"], ast.unparse(node)
            if (node.module or "").startswith("fastbook_ch4."):
                assert NUMBER[node.module.split(".")[1]] < NUMBER[name], ast.unparse(node)


@by_module
def test_heavy_libraries_stay_out_of_module_level(name):
    found = set()
    for node in tree(name).body:
        if isinstance(node, ast.Import): found |= {a.name.split(".")[0] for a in node.names}
        if isinstance(node, ast.ImportFrom): found.add((node.module or "").split(".")[0])
    assert "matplotlib" not in found
    if NUMBER[name] < 5: assert not found & {"fastai", "torchvision"}


def test_similarity_imports_neither_fastai_nor_matplotlib():
    code = ("import sys, fastbook_ch4.similarity; "
            "print(sorted({'fastai', 'matplotlib', 'torchvision', 'pandas'} & {o.split('.')[0] for o in sys.modules}))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Rule 3: public names

def public(name):
    "The public functions and classes of a module, as (name, object)."
    module = importlib.import_module(f"fastbook_ch4.{name}")
    return [(o, getattr(module, o)) for o in module.__all__
            if inspect.isfunction(getattr(module, o)) or inspect.isclass(getattr(module, o))]


@by_module
def test_public_names_have_docstrings_with_examples(name):
    for o, obj in public(name):
        doc = inspect.getdoc(obj) or ""
        assert re.search(r"Examples\n-+\n>>> ", doc), f"{o} has no Examples doctest"
        assert len(doc.splitlines()[0]) <= 120 and doc.splitlines()[0].endswith((".", ":")), o


@by_module
def test_public_functions_have_docments(name):
    for o, obj in public(name):
        if inspect.isclass(obj): continue
        said = docments(obj, returns=True)
        missing = [k for k, v in said.items() if not v and k not in ("self", "cls")]
        assert not missing, f"{o}: no docment for {missing}"


@by_module
def test_public_names_have_an_asserting_cell_on_their_page(name):
    path = next(p for p in PAGES if stem(p) == name)
    lesson = [code_of(c) for c in code_cells(read(path)) if "export" not in directives(c)]
    asserting = [s for s in lesson if re.search(r"\bassert\b|\btest_\w+\(|expect_fail", s)]
    for o, _ in public(name):
        used = [s for s in lesson if re.search(rf"\b{o}\b", s)]
        assert any(re.search(rf"\b{o}\b", s) for s in asserting), f"{o}: {len(used)} cells use it, none asserts"


def test_contract_signatures():
    "The names and leading parameters that readers and tests rely on."
    contract = {
        "data": {"mnist_sample": "path", "is_standin": "path", "load_digits": "folder", "load_sample": "path digits",
                 "Sample": None},
        "pixels": {"pixel_grid": None, "show_digits": None},
        "similarity": {"ideal_digit": "images", "mnist_distance": "a b", "rms_distance": "a b",
                       "is_3": "x mean3 mean7 distance", "PixelSimilarity": "distance"},
        "rollercoaster": {"rollercoaster": "n noise seed", "quadratic": "t params", "mse": "preds targets",
                          "apply_step": "params time speed lr", "descend": "time speed params lr steps"},
        "sgd": {"init_params": "size std", "linear": "xb weights bias", "sigmoid": "x",
                "mnist_loss": "predictions targets", "batch_accuracy": "predictions targets",
                "calc_grad": "xb yb model", "train_epoch": "model lr params dl",
                "validate_epoch": "model valid_dl", "dataloaders": "sample bs shuffle"},
        "learner": {"BasicOptim": "params lr", "train_model": "model opt dl valid_dl epochs",
                    "mnist_dls": "sample bs shuffle", "linear_learner": "dls"},
        "nonlinearity": {"simple_net": "hidden", "collapse_linear": "layers", "net_learner": "dls hidden"},
        "resnet": {"resnet_learner": "path bs"},
        "seeds": {"train_seeds": "sample seeds epochs lr bs shuffle"},
        "scorecard": {"PUBLISHED": None, "scorecard": None},
    }
    for name, names in contract.items():
        module = importlib.import_module(f"fastbook_ch4.{name}")
        for o, params in names.items():
            assert hasattr(module, o), f"{name}.{o}"
            if params is not None:
                have = [p for p in inspect.signature(getattr(module, o)).parameters if p != "self"]
                assert have[:len(params.split())] == params.split(), f"{o}{have}"


def test_all_gives_every_public_name():
    everything = importlib.import_module("fastbook_ch4.all")
    for name in MODULES:
        for o in importlib.import_module(f"fastbook_ch4.{name}").__all__: assert hasattr(everything, o), o


# The package

def test_wheel_holds_the_package_and_nothing_else(tmp_path):
    copy = tmp_path / "copy"  # building writes into the folder it builds from
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "_*run", "build", "*.egg-info", "__pycache__"))
    words = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, copy]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {n.split("/")[0].split("-")[0] for n in names} == {"fastbook_ch4"}
    assert "fastbook_ch4/data.py" in names and all(n.endswith(".py") for n in names if n.startswith("fastbook_ch4/"))


def test_lock_names_no_index_and_pins_everything():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock and "--" not in lock
    pins = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    assert all(re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", line) for line in pins)
    wanted = re.findall(r"(?m)^    ([\w-]+)[>=]", (ROOT / "settings.ini").read_text(encoding="utf-8"))
    have = {re.split(r"[\[=]", line)[0].lower().replace("_", "-") for line in pins}
    assert {w.lower().replace("_", "-") for w in wanted if w != "fastbook_ch4"} <= have
