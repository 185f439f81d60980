"""The documentation as a site, in a browser: pages load from their own host alone, formulas are drawn, search finds."""

import http.server
import shutil
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("zensical", reason="`make test-all` installs what draws the site")

sys.path.append(str(Path(__file__).parents[1] / "scripts"))
import make_site
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.slow


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site, and its address."""
    folder = tmp_path_factory.mktemp("site")
    make_site.build(folder / "work", folder / "site")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder / "site"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder / "site", f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    options.binary_location = shutil.which("chromium")
    options.add_experimental_option("mobileEmulation", {"deviceMetrics": {"width": 390, "height": 844}})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def test_pages_ask_no_other_host_and_fit_a_phone(site, browser):
    folder, address = site
    pages = [path.relative_to(folder) for path in sorted(folder.rglob("*.html")) if path.name != "404.html"]
    assert len(pages) == 2 * (len(make_site.sources(make_site.ENGLISH)) + 1)
    for page in pages:
        browser.get(f"{address}/{page}")
        asked = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == [], page
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, page
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == [], page


def test_formulas_are_drawn(site, browser):
    folder, address = site
    for path in sorted(folder.rglob("*.html")):
        count = path.read_text().count('class="arithmatex"')
        if count:
            browser.get(f"{address}/{path.relative_to(folder)}")
            drawn = "return document.querySelectorAll('.arithmatex mjx-container').length"
            WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(drawn) == count)  # noqa: B023
            wrong = browser.execute_script("return [...document.querySelectorAll('[data-mml-node=merror]')].length")
            assert wrong == 0, path


@pytest.mark.parametrize(
    ("language", "word", "found"), [("", "overfitting", "overfit"), ("es/", "sobreajuste", "sobreajust")]
)
def test_search_finds(site, browser, language, word, found):
    _, address = site
    browser.get(f"{address}/{language}index.html")
    browser.execute_script("document.querySelector('.md-search__button').click()")
    within = "return [...document.body.children].map(each => each.shadowRoot).find(root => root)"
    dialog = WebDriverWait(browser, 10).until(lambda driver: driver.execute_script(within))
    dialog.find_element(By.CSS_SELECTOR, "input").send_keys(word)
    first = WebDriverWait(browser, 10).until(lambda driver: dialog.find_elements(By.CSS_SELECTOR, "[role=option]"))[0]
    assert found in first.text.lower()


def test_a_page_leads_to_itself_in_the_other_language(site, browser):
    _, address = site
    browser.get(f"{address}/tables.html")
    browser.find_element(By.CSS_SELECTOR, "a.md-header__button[hreflang=es]").click()
    assert browser.current_url == f"{address}/es/tables.html"
    browser.find_element(By.CSS_SELECTOR, "a.md-header__button[hreflang=en]").click()
    assert browser.current_url == f"{address}/tables.html"
