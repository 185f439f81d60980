"""The page in a real browser, as a person uses it."""

import json
import time
from urllib.parse import unquote

import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from serving import overrides_of, serving

import nettrain

pytestmark = pytest.mark.slow

EXPECTED = ("400 (Bad Request)", "410 (Gone)", "File chooser dialog")  # what a browser says of what is tried here
SMALL = (
    "#data=moons&data.samples=60&model.hidden=[4,3]&activation=tanh&optimizer=adam&optimizer.lr=0.03&bs=16&epochs=200"
)


class Page:
    """What a person does with the page, and sees on it."""

    def __init__(self, driver, address):
        self.driver, self.address = driver, address

    def open(self, settings=""):
        self.driver.get("about:blank")
        self.driver.get(self.address + settings)
        self.until("page.frame")
        return self

    def js(self, expression):
        return self.driver.execute_script(f"return {expression}")

    def until(self, expression, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if self.js(expression):
                    return
            except JavascriptException:
                pass  # the page is not there yet
            time.sleep(0.05)
        raise AssertionError(f"{expression} did not become true; the page says {self.text('error')!r}")

    def changed(self, act):
        """Do something that begins the training anew, and wait until it has."""
        before = self.js("page.generation")
        act()
        self.until(f"page.generation > {before} && !document.body.classList.contains('busy')")

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector):
        return [found for found in self.driver.find_elements(By.CSS_SELECTOR, selector) if found.is_displayed()]

    def text(self, name):
        return self.js(f"document.getElementById('{name}')?.textContent ?? ''")

    def click(self, selector):
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.find(selector))
        self.find(selector).click()

    def write(self, selector, text):
        field = self.find(selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", field)
        field.clear()
        field.send_keys(text + Keys.ENTER)

    def choose(self, selector, value):
        Select(self.find(selector)).select_by_value(value)

    @property
    def commands(self):
        return [found.text for found in self.all("#commands code")]

    def colors(self, selector):
        """How many colours a canvas has."""
        return self.js(
            "(c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size)"
            f"(document.querySelector('{selector}'))"
        )


def driver_of(width, height, language="en", scheme="light"):
    options = webdriver.ChromeOptions()
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    for flag in [*flags.split(), "--disable-component-update", "--disable-sync"]:
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"intl.accept_languages": language})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.binary_location = "/usr/bin/chromium"
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    return driver


@pytest.fixture(scope="module")
def desktop():
    driver = driver_of(1400, 1000)
    yield driver
    driver.quit()


@pytest.fixture
def page(desktop, here):
    desktop.get_log("performance")
    with serving() as server:
        yield Page(desktop, server.address)
        asked = [json.loads(entry["message"])["message"] for entry in desktop.get_log("performance")]
        urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
        assert urls
        assert {url for url in urls if not url.startswith((server.address, "data:", "about:"))} == set()
        desktop.get("about:blank")
    told = [entry["message"] for entry in desktop.get_log("browser")]
    assert [message for message in told if not any(known in message for known in EXPECTED)] == []


def test_it_plays_pauses_and_begins_again(page):
    page.open(SMALL)
    page.click("#play")
    page.until("page.frame.lanes[0].epoch >= 5")
    page.click("#play")
    page.until("!page.playing")
    epoch = page.js("page.frame.lanes[0].epoch")
    time.sleep(0.4)
    assert page.js("page.frame.lanes[0].epoch") <= epoch + 1  # the answer that was under way
    assert int(page.text("epoch")) == page.js("page.frame.lanes[0].epoch")
    assert min(page.colors("#stage canvas"), page.colors("#loss"), page.colors("#network button canvas")) > 20
    page.changed(lambda: page.click("#reset"))
    assert page.text("epoch") == "0"
    assert page.text("metric") == "–"


def test_it_shows_the_numbers_of_its_command(page, here):
    page.open(SMALL.replace("epochs=200", "epochs=12"))
    page.choose("#speed", "fast")
    page.click("#play")
    page.until("page.histories[0].length == 12 && !page.playing")
    shown = page.js("page.histories[0]")
    run = nettrain.train([*overrides_of(page.commands[0]), "quiet=true", "figures=never"], folder=here / "run")
    assert [row[1:3] for row in shown] == run.metrics[["train_loss", "val_loss"]].to_numpy().tolist()
    assert page.text("metric") == f"{100 * run.summary['val_accuracy']:.1f} %"


def test_steps_of_an_update_and_an_epoch(page):
    page.open(SMALL)
    page.click("#step-update")
    page.until("page.frame.lanes[0].step == 1")
    marked = page.js("page.stage.marked.length")
    assert marked == 16  # the samples of the batch are pointed out
    page.click("#step-epoch")
    page.until("page.frame.lanes[0].epoch == 1")
    assert page.text("updates") == str(page.js("page.problem.lanes[0].updates_per_epoch"))


def test_lanes_race(page):
    page.open(SMALL)
    page.changed(lambda: page.click("#add-lane"))
    page.changed(lambda: page.click("#add-lane"))
    page.changed(lambda: page.write("#lane-other-2", "activation=relu bs=8"))
    assert len(page.all("#stage canvas[role=img]")) == 3
    assert len(page.commands) == 3
    assert {"activation=relu", "bs=8"} < set(page.commands[2].split())
    page.click("#play")
    page.until("page.histories.every((rows) => rows.length >= 3)")
    page.click("#play")
    assert len({row[-1][2] for row in page.js("page.histories")}) == 3
    assert "lane=" in page.js("location.hash")
    page.changed(lambda: page.click(".lane button"))
    assert len(page.commands) == 2


def test_64_seeds_at_once_and_one_of_them_alone(page):
    page.open(SMALL)
    page.changed(lambda: page.choose("#seeds-choice", "64"))
    page.click("#step-epoch")
    page.until("page.frame.lanes[0].epoch == 1")
    assert len(page.all("#seeds button")) == 64
    assert len({found.text for found in page.all("#seeds button span")}) > 10
    assert page.commands[0].endswith("'seed=range(0,64)'")
    losses = page.js("page.frame.lanes[0].seed_losses")
    page.changed(lambda: page.click("#seeds button:nth-child(8)"))
    assert page.commands[0].endswith("seed=7")
    page.click("#step-epoch")
    page.until("page.frame.lanes[0].epoch == 1")
    assert page.js("page.histories[0][0][2]") == pytest.approx(losses[7], rel=1e-4)


def test_the_address_is_the_state(page):
    page.open(SMALL)
    page.changed(lambda: page.write("#key-optimizer\\.lr", "0.07"))
    page.changed(lambda: page.click("#add-layer"))
    page.click("#step-epoch")
    page.until("page.histories[0].length == 1")
    before = page.js("page.histories[0]")
    address = page.js("location.hash")
    assert "optimizer.lr=0.07" in address
    assert "model.hidden=[4,3,4]" in unquote(address)
    page.open(address)
    page.click("#step-epoch")
    page.until("page.histories[0].length == 1")
    assert page.js("page.histories[0]") == before


def test_bad_values_are_said_and_can_be_mended(page):
    page.open(SMALL)
    page.changed(lambda: page.write("#key-optimizer\\.lr", "fast"))
    assert page.find("#error").is_displayed()
    assert page.text("error") == "optimizer.lr=fast: optimizer.lr must be a number."
    page.changed(lambda: page.write("#key-optimizer\\.lr", "0.1"))
    assert not page.find("#error").is_displayed()
    page.click("#step-update")
    page.until("page.frame.lanes[0].step == 1")


def test_every_question_can_be_asked(page):
    page.open(SMALL)
    for number in range(page.js("document.getElementById('examples').options.length - 1")):
        page.changed(lambda number=number: page.choose("#examples", str(number)))
        assert page.text("error") == "" or not page.find("#error").is_displayed()
        page.click("#step-epoch")
        page.until("page.histories.every((rows) => rows.length >= 1)")


def test_the_surface_of_two_weights(page):
    page.open("#data=quadratic&model=polynomial&optimizer=sgd&optimizer.lr=0.1&bs=8&epochs=20")
    page.click("#step-epoch")
    page.until("page.frame.lanes[0].epoch == 1")
    page.until("document.querySelector('#surface').width > 100")
    assert page.colors("#surface") > 100
    assert not page.all("#network-panel")
    assert len(page.js("page.frame.surface.paths[0]")) == 9


def test_points_are_drawn_with_the_mouse_and_with_keys(page):
    page.open(SMALL)
    page.choose("#data", "drawing")
    page.until("document.querySelector('#drawing').open")
    sheet = page.find("#drawing canvas")
    for at in (-120, 0, 90):
        ActionChains(page.driver).move_to_element_with_offset(sheet, at, 60).click_and_hold().move_by_offset(
            40, 10
        ).release().perform()
    page.click(".brushes button:nth-child(2)")
    sheet = page.find("#drawing canvas")
    sheet.send_keys(*([Keys.ARROW_UP, Keys.ARROW_LEFT, Keys.SPACE] * 6))
    drawn = page.js("page.drawing.points.length")
    assert drawn >= 9
    page.changed(lambda: page.click("#drawing-use"))
    page.until("page.problem.classes.length == 2")
    assert page.js("page.problem.classes") == ["A", "B"]
    assert "points=" in page.js("location.hash")
    page.click("#step-epoch")
    page.until("page.frame.lanes[0].epoch == 1")
    page.open(page.js("location.hash"))
    assert page.js("page.problem.x.length") == drawn


def test_columns_of_a_table_are_chosen(page, here):
    (here / "mine.csv").write_text(
        "size,note,weight,kind\n" + "".join(f"{i},n{i},{0.31 * i * i},{'ab'[i % 2]}\n" for i in range(60))
    )
    page.open(SMALL)
    page.choose("#data", "upload")
    page.changed(lambda: page.find("#file").send_keys(str(here / "mine.csv")))
    assert page.js("page.problem.inputs") == ["size", "weight"]
    assert page.js("page.problem.target") == "kind"
    page.changed(lambda: page.choose("#vertical", ""))
    assert page.js("page.problem.inputs") == ["size"]
    page.changed(lambda: page.choose("#target", "weight"))
    assert page.js("page.problem.classes") == []
    page.changed(lambda: page.choose("#data", "iris"))
    assert page.js("page.problem.classes.length") == 3
    page.changed(lambda: page.choose("#data", "sine"))
    assert "csv" not in page.js("location.hash")


def test_it_is_used_with_the_keyboard(page):
    page.open(SMALL)
    body = page.find("body")
    body.send_keys("u")
    page.until("page.frame.lanes[0].step == 1")
    body.send_keys("e")
    page.until("page.frame.lanes[0].epoch == 1")
    body.send_keys(" ")
    page.until("page.frame.lanes[0].epoch >= 3")
    body.send_keys(" ")
    page.until("!page.playing")
    page.changed(lambda: body.send_keys("r"))
    assert page.text("epoch") == "0"
    page.find("#network button").send_keys("")  # a unit in focus is shown large
    page.until("page.stage.unit")
    unnamed = page.js(
        "[...document.querySelectorAll('button, select, input, canvas[role=img]')]"
        ".filter((e) => e.getClientRects().length)"
        ".filter((e) => !(e.ariaLabel || e.textContent.trim() || e.closest('label'))).length"
    )
    assert unnamed == 0


def test_a_unit_is_shown_large(page):
    page.open(SMALL)
    page.click("#step-epoch")
    page.until("page.frame.lanes[0].units")
    ActionChains(page.driver).move_to_element(page.find("#network .layer:nth-of-type(2) button")).perform()
    page.until("page.stage.unit && page.stage.unit == page.frame.lanes[0].units[1].pictures[0]")


def test_a_server_that_is_gone_is_said(page):
    page.open(SMALL)
    page.driver.execute_script("page.session = 'forgotten'")
    page.click("#step-update")  # begins again where the session has been forgotten
    page.until("page.session != 'forgotten'")
    page.driver.execute_script("window.fetch = () => Promise.reject(new TypeError('refused'))")
    page.click("#step-update")
    page.until("!document.getElementById('error').hidden")
    assert "does not answer" in page.text("error")


def test_spanish(here):
    driver = driver_of(1400, 1000, language="es")
    try:
        with serving() as server:
            page = Page(driver, server.address).open(SMALL)
            assert page.js("document.documentElement.lang") == "es"
            assert page.find("#step-epoch").text == "+1 época"
            assert page.js("textsMissing()") == []
            words = page.find("main").text
            assert "Pérdida" in words
            assert "Lo que ha aprendido" in words
            page.choose("#language", "en")
            assert page.find("#step-epoch").text == "+1 epoch"
            assert page.open(SMALL).find("#step-epoch").text == "+1 epoch"  # it is remembered
    finally:
        driver.quit()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(here, scheme):
    driver = driver_of(375, 812, scheme=scheme)
    try:
        with serving() as server:
            page = Page(driver, server.address)
            race = "&lane=optimizer=sgd+optimizer.lr=0.3&lane=optimizer=bfgs"
            for settings in (
                SMALL,
                SMALL + race,
                SMALL + "&seeds=64",
                "#data=quadratic&model=polynomial&optimizer=sgd",
            ):
                page.open(settings)
                page.click("#step-epoch")
                page.until("page.histories[0].length == 1")
                assert page.js("document.documentElement.scrollWidth") <= 375
                wide = page.js(
                    "[...document.querySelectorAll('body *')].filter((e) => e.getClientRects().length && "
                    "e.getBoundingClientRect().right > 376).map((e) => e.outerHTML.slice(0, 90))"
                )
                assert wide == []
            small = page.js(
                "[...document.querySelectorAll('header button')]"
                ".filter((e) => e.getBoundingClientRect().height < 28).length"
            )
            assert small == 0
            assert page.js("getComputedStyle(document.body).backgroundColor") == (
                "rgb(16, 21, 28)" if scheme == "dark" else "rgb(243, 245, 248)"
            )
    finally:
        driver.quit()
