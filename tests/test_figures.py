"Every figure that a page's prose prints stands in an output or the code of that page, in what is committed."
import nbformat
import pytest

from figures import allowed, figures, unsupported
from pages import PAGES


@pytest.mark.parametrize("path", PAGES, ids=lambda o: o.stem)
def test_prose_repeats_only_what_the_page_computes(path):
    nb = nbformat.read(path, 4)
    assert not unsupported(nb, allowed(path.stem))
    assert set(allowed(path.stem)) <= set(figures(nb)), "an exception that is not needed any more"

def page(prose, source="", output=""):
    cell = nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", text=output)])
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose), cell])

@pytest.mark.parametrize("prose, output, missing", [
    ("it is 0.95", "0.9511", []), ("it is 0.96", "0.9511", ["0.96"]), ("95.1 % or 95%", "0.9511", []),
    ("94 %", "0.9511", ["94 %"]), ("all 12,396 of 5 and 20", "[12396, 784]", []), ("about 12,000", "", []),
    ("`0.123` and [a 3](0.456)", "", []), ("page 02, 28x28, resnet18", "", []), ("a rate of 0.001", "1e-3", []),
    ("677.", "676.8", []), ("678", "676.8", ["678"]), ("in 1998, and 0.5.", "0.5", ["1998"])])
def test_the_rule(prose, output, missing):
    assert unsupported(page(prose, output=output)) == missing
