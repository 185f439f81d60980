"""The report of a sweep in a real browser: its charts can be pointed at, taken apart and enlarged."""

import numpy as np
import pytest

import nettrain

CHART = "const chart = document.querySelector('svg.chart'); const box = chart.parentElement;"


@pytest.fixture
def page(here, browser):
    overrides = "optimizer=sgd,adam optimizer.lr=0.001,0.01,0.1 seed=1,2 data=iris epochs=4 quiet=true figures=auto"
    sweep = nettrain.sweep(overrides, folder="sweep")
    browser.get(f"file://{here}/sweep/report.html")
    return sweep


@pytest.mark.slow
def test_a_chart_can_be_pointed_at_taken_apart_and_enlarged(page, browser):
    from selenium.webdriver import ActionChains

    def ask(script):
        return browser.execute_script(CHART + script)

    assert ask("return [...document.querySelectorAll('figure img')].map(i => i.hidden)") == [True, True, True, False]
    assert not browser.get_log("browser")  # no errors, and nothing that could not be loaded
    names = [
        button.text
        for button in browser.find_elements("css selector", ".legend")[0].find_elements("tag name", "button")
    ]
    curves = page.plot("curves")
    assert names[: len(curves.axes[0].get_lines())] == [line.get_label() for line in curves.axes[0].get_lines()]
    box = browser.find_element("css selector", "div.box")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", box)
    mouse = ActionChains(browser)
    mouse.move_to_element(box).perform()
    width, height = box.size["width"], box.size["height"]
    tips = set()
    for dy in np.linspace(-0.35, 0.3, 14):
        mouse.move_to_element_with_offset(box, int(0.18 * width), int(dy * height)).perform()
        tips.add(ask("return chart.closest('figure').querySelector('.tip').textContent"))
    last = {}
    for line in curves.axes[0].get_lines():
        last |= {f"{line.get_label()}\nepoch: {x:g}\nvalidation loss: {y:.4g}": line for x, y in line.get_xydata()}
    assert len(tips & set(last)) >= 2  # what is said are points of the curves

    def drawn():
        return ask("return chart.querySelectorAll('path.line').length")

    before = drawn()
    button = browser.find_element("css selector", ".legend button")
    button.click()
    assert (drawn(), button.get_attribute("aria-pressed")) == (before - 1, "false")
    button.click()
    assert drawn() == before
    ticks = "return [...chart.querySelectorAll('text[text-anchor=middle]')].map(t => t.textContent)"
    whole = ask(ticks)
    mouse.move_to_element_with_offset(box, -width // 6, -height // 6).click_and_hold()
    mouse.move_by_offset(width // 4, height // 4).release().perform()
    assert ask(ticks) != whole
    browser.find_element("css selector", ".legend .all").click()
    assert ask(ticks) == whole
