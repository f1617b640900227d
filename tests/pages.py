"The pages as the rules see them."
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "nbs").glob("[0-9]*.ipynb"))

def read(path): return nbformat.read(path, 4)

def code_cells(nb): return [c for c in nb.cells if c.cell_type == "code" and c.source.strip()]

def directives(cell):
    "The directives of a cell: {'export': '', 'eval': 'false'}."
    lines = (line[2:].strip() for line in cell.source.splitlines() if line.startswith("#|"))
    return {name.strip(): rest.strip() for name, _, rest in (line.partition(":") for line in lines)}

def code_of(cell):
    "The source without directive lines."
    return "\n".join(line for line in cell.source.splitlines() if not line.startswith("#|")).strip()

def exports(cell): return bool({"export", "exporti"} & directives(cell).keys())

def folded(cell): return cell.metadata.get("jupyter", {}).get("source_hidden", False)

def text_of(output):
    "What a reader sees of an output as text."
    return output.get("text", "") or output.get("data", {}).get("text/plain", "")

def stem(path): return path.stem[3:]
