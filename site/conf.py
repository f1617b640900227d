"""The reading site: Sphinx, myst-nb and sphinx-book-theme over executed pages. Nothing is fetched.

`build.py` gathers the pages and calls Sphinx with this file; `nbdev_pages.py` is what we add to myst-nb.
"""
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import build  # noqa: E402

git_url = build.git_url()

project = html_title = "MNIST basics"
language = "en"
highlight_language = "text"  # of a fence that names none
extensions = ["myst_nb", "nbdev_pages"]
exclude_patterns = ["**.ipynb_checkpoints"]
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]
if os.environ.get("FASTBOOK_CH4_ONE_PAGE"):  # a page alone, still being written: its links lead nowhere
    suppress_warnings += ["myst.xref_missing", "image.not_readable"]

nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = "{type}"  # nbdev_pages puts a sentence there
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_dmath_allow_space = myst_dmath_allow_digits = False  # as in a notebook: "$5 and $6" is no formula
myst_heading_anchors = 3
myst_heading_slug_func = "nbdev_pages.slug"

html_theme = "sphinx_book_theme"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_favicon = str(HERE / "static" / "favicon.svg")
html_math_renderer = "mathml"
html_show_sphinx = html_show_copyright = False
html_context = {"default_mode": "auto"}  # light or dark, as the reader's machine has it
html_theme_options = {
    "home_page_in_toc": True, "navigation_with_keys": False, "use_fullscreen_button": False,
    "show_toc_level": 2, "toc_title": "On this page", "pygments_light_style": "friendly",
    "pygments_dark_style": "github-dark",
    "footer_content_items": [], "navbar_persistent": [], "navbar_end": [],
}
if git_url:
    html_theme_options |= {
        "repository_url": git_url, "repository_branch": "main", "path_to_docs": "nbs",
        "use_repository_button": True, "launch_buttons": {
            "colab_url": "https://colab.research.google.com", "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab"}}
