"Nothing of the chapter is lost: each id is named by a page that shows it, or listed with the reason why not."
import re
from collections import Counter

from pages import PAGES, ROOT, code_cells, code_of, directives, read

TESTS = ROOT / "tests"
ID = r"\b[SNCQF]\d\d\b"


def lines(name):
    text = (TESTS / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def expected(): return " ".join(lines("chapter_ids.txt")).split()


def left_out(): return dict(line.split(": ", 1) for line in lines("chapter_left_out.txt"))


def named(path):
    "The ids that a page names: in a `#| chapter:` line, a `<!-- chapter: -->` comment, or a chapter_says box."
    found = set()
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            found |= set(re.findall(ID, " ".join(re.findall(r"<!-- chapter:(.*?)-->", cell.source, re.S))))
        else:
            found |= set(re.findall(ID, directives(cell).get("chapter", "")))
            for ids in re.findall(r"chapter_says\(\s*['\"]([^'\"]+)", cell.source): found |= set(re.findall(ID, ids))
    return found


def test_the_list_of_ids_is_the_chapters():
    "50 snippets, 53 numbers, 98 claims, 37 questions, 16 figures, each once."
    assert Counter(i[0] for i in expected()) == {"S": 50, "N": 53, "C": 98, "Q": 37, "F": 16}
    assert len(set(expected())) == len(expected())
    assert all(re.fullmatch(ID, i) for i in expected())
    assert expected() == sorted(expected(), key=lambda i: ("SNCQF".index(i[0]), i))


def test_every_id_is_named_by_a_page_or_left_out_with_a_reason():
    shown = set().union(*map(named, PAGES))
    missing = [i for i in expected() if i not in shown and i not in left_out()]
    assert not missing, f"named by no page: {' '.join(missing)}"
    both = [i for i in left_out() if i in shown]
    assert not both, f"left out, yet named by a page: {both}"
    assert all(len(reason) > 20 for reason in left_out().values())


def test_pages_name_no_id_that_is_not_there():
    for path in PAGES:
        said = " ".join(directives(c).get("chapter", "") for c in code_cells(read(path)))
        unknown = set(re.findall(r"\S+", said)) - set(expected())
        assert not unknown, f"{path.stem}: {unknown}"


def test_tagged_cells_do_something():
    "A cell that names an id shows or checks something: it is not only a comment."
    for path in PAGES:
        for cell in code_cells(read(path)):
            if "chapter" in directives(cell): assert code_of(cell).strip(), (path.stem, cell.id)
