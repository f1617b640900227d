"The wheel: built without a network, installed away from the project, it does what the README shows."
import re
import subprocess
import sys
import zipfile

import pytest

from pages import ROOT

pytestmark = pytest.mark.long

@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "Built from a copy: a build leaves folders behind."
    folder = tmp_path_factory.mktemp("wheel")
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "copy" / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "uv", "build", "--wheel", "--no-build-isolation", "--offline", "-q",
             "--python", sys.executable, "--out-dir", folder, folder / "copy"]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    path, = folder.glob("*.whl")
    return path

def test_what_is_in_it(wheel):
    names = [o for o in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in o]
    modules = {p.name for p in (ROOT / "fastbook_ch4").glob("*.py")}
    runs = {f"runs/{p.name}" for p in (ROOT / "fastbook_ch4" / "runs").iterdir() if p.is_file()}
    assert runs and {o.removeprefix("fastbook_ch4/") for o in names} == modules | runs | {"series.mplstyle", "py.typed"}

def test_installed_elsewhere_it_runs_the_readme(wheel, tmp_path):
    "What the README's example prints is what its comments say: to the digit, on MNIST."
    install = ["uv", "pip", "install", "-q", "--offline", "--no-deps", "--target", tmp_path / "site", wheel]
    done = subprocess.run([sys.executable, "-m", *install], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]
    promised = re.findall(r"(?m)^print\(.*\) +# ([^,\n]+)", code)
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n{code}\nimport fastbook_ch4, matplotlib.pyplot\n" \
           "matplotlib.pyplot.style.use('fastbook_ch4.series')\nprint(fastbook_ch4.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    digits, *printed, where = done.stdout.splitlines()
    assert where.startswith(str(tmp_path)) and len(printed) == len(promised) > 0
    if "STAND-IN" not in digits: assert printed == promised
