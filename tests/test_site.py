"The reading site in a real browser: offline, at two widths, from the first page to the last."
import os
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import nbformat
import pytest

from pages import PAGES, ROOT

NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge"]
PLACES = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "C:/Program Files/Google/Chrome/Application/chrome.exe"]
BROWSER = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None) or next(
    filter(os.path.exists, PLACES), None)
pytestmark = pytest.mark.long

# What sticks out of the window to the right and cannot be scrolled to; and pictures without a text.
WRONG = """() => {
  const width = document.documentElement.clientWidth, wrong = [];
  if (document.documentElement.scrollWidth > width) wrong.push(`the page is ${document.documentElement.scrollWidth} wide`);
  const scrolls = e => e && e !== document.body && (getComputedStyle(e).overflowX !== 'visible' || scrolls(e.parentElement));
  for (const e of document.querySelectorAll('.bd-main *'))
    if (e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().right > width + 1
        && !e.closest('dialog, .bd-sidebar-secondary') && !scrolls(e.parentElement))
      wrong.push(`${e.tagName}.${e.className} sticks out: ${e.textContent.slice(0, 50)}`);
  for (const e of document.images) if (!e.alt.trim()) wrong.push(`no text for ${e.src.slice(0, 80)}`);
  return wrong }"""

@pytest.fixture(scope="module")
def site(tmp_path_factory):
    "The site from what is committed, with Sphinx's warnings as errors."
    sys.path.insert(0, str(ROOT / "site"))
    from build import build
    return build(tmp_path_factory.mktemp("site") / "html")

@pytest.fixture(scope="module")
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_): pass
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

@pytest.fixture(scope="module")
def browser():
    if not BROWSER: pytest.skip("no browser; install Chrome or Chromium (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright
    blocked = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    with sync_playwright() as p:
        chrome = p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", blocked])
        yield chrome
        chrome.close()

@pytest.fixture
def tab(browser, address):
    "A tab that keeps what goes wrong in it, in `tab.wrong`."
    tab = browser.new_page(viewport={"width": 1280, "height": 900}, base_url=address)
    tab.wrong = []
    tab.on("requestfailed", lambda o: tab.wrong.append(f"failed: {o.url}"))
    tab.on("response", lambda o: tab.wrong.append(f"{o.status}: {o.url}") if o.status >= 400 else None)
    tab.on("request", lambda o: tab.wrong.append(f"asked for {o.url}")
           if not o.url.startswith((address, "data:", "blob:")) else None)
    tab.on("console", lambda o: tab.wrong.append(f"console: {o.text}") if o.type == "error" else None)
    tab.on("pageerror", lambda o: tab.wrong.append(f"script: {o}"))
    yield tab
    tab.close()

def test_from_the_first_page_to_the_last_by_next(tab):
    tab.goto("/index.html")
    seen = []
    while True:
        seen.append(Path(tab.url).stem)
        tab.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        for width in (1280, 390):
            tab.set_viewport_size({"width": width, "height": 900})
            tab.wrong += [f"{seen[-1]} at {width}: {o}" for o in tab.evaluate(WRONG)]
        if not (following := tab.locator("a.right-next")).count(): break
        tab.goto(following.evaluate("e => e.href"))
    tab.wait_for_load_state("networkidle")
    assert not tab.wrong, "\n".join(tab.wrong)
    assert seen == ["index", *(p.stem for p in PAGES), *["audit"] * (ROOT / "audit" / "results.md").exists()]

def test_search_finds_learning_rate(tab):
    tab.goto("/index.html")
    tab.locator(".search-button-field").first.click()
    tab.locator("input[name=q]:visible").first.fill("learning rate")
    tab.keyboard.press("Enter")
    tab.locator("#search-results li a").first.wait_for()
    found = tab.locator("#search-results li a").evaluate_all("o => o.map(e => e.href)")
    assert any("03_rollercoaster" in o for o in found) and not tab.wrong, (found, tab.wrong)

def test_folds_and_dark(tab, site):
    "A guess is closed and opens by a click; in the dark a picture stands on white."
    folded = [p.stem for p in PAGES for c in nbformat.read(p, 4).cells
              if "hide-output" in c.metadata.get("tags", []) and c.outputs]
    if not folded: pytest.skip("no page asks for a guess")
    tab.emulate_media(color_scheme="dark")
    tab.goto(f"/{folded[0]}.html")
    guess = tab.locator("details.guess").first
    assert not guess.evaluate("e => e.open") and "Your guess first" in guess.inner_text()
    guess.locator("summary").click()
    assert guess.evaluate("e => e.open") and guess.locator(".cell_output").is_visible()
    whites = tab.locator(".cell_output img").evaluate_all("o => o.map(e => getComputedStyle(e).backgroundColor)")
    assert set(whites) <= {"rgb(255, 255, 255)"} and not tab.wrong, (whites, tab.wrong)

def test_nbdev_directives(site):
    "What is exported says so, what is hidden is hidden, no directive is seen."
    for p in PAGES:
        html = (site / f"{p.stem}.html").read_text(encoding="utf-8")
        codes = [c.source for c in nbformat.read(p, 4).cells if c.cell_type == "code"]
        assert html.count("tag_export") >= sum(o.startswith("#| export\n") for o in codes), p.stem
        assert "#| " not in html and "default_exp" not in html, p.stem
        assert (site / "_sources" / p.name).exists(), "the page to download"
