"Package metadata for pip. `settings.ini` is its one home; the version is in `fastbook_ch4/__init__.py`."
import re
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

root = Path(__file__).parent
parser = ConfigParser(delimiters=["="], inline_comment_prefixes=None)
parser.read(root / "settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
init = (root / "fastbook_ch4" / "__init__.py").read_text(encoding="utf-8")
version = re.search(r'^__version__ = "([^"]+)"', init, re.M).group(1)


def lines(key):
    "The non-empty lines of a multi-line setting; a comment line starts with #."
    return [o.strip() for o in cfg[key].splitlines() if o.strip()]


setup(
    name=cfg["lib_name"],
    version=version,
    description=cfg["description"],
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license=cfg["license"],
    keywords=cfg["keywords"].split(),
    url=cfg.get("git_url") or None,
    python_requires=f">={cfg['min_python']}",
    packages=[cfg["lib_path"]],
    package_data={cfg["lib_path"]: ["py.typed", "*.mplstyle", "runs/*"]},
    install_requires=lines("requirements"),
    extras_require={"dev": lines("dev_requirements")},
)
