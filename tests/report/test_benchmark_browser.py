"""The benchmark page in a real browser: Debian's Chromium, without a window."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.report.benchmark_page import write_benchmark_report
from tests.report.made_records import make_folder

selenium = pytest.importorskip("selenium", reason="the Python package selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="Debian's packages chromium and chromium-driver are not installed"
)

PHONE, DESK = (390, 844, 3), (1280, 900, 1)

# Pairs of visible labels of one chart whose boxes intersect.
OVERLAPS = """
const charts = [...document.querySelectorAll("svg.scatter")].filter((svg) => svg.getBoundingClientRect().width);
return charts.flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].map((t) => [t.textContent, t.getBoundingClientRect()]);
  return texts.flatMap(([name, a], i) => texts.slice(i + 1).filter(([, b]) =>
    a.left + 0.5 < b.right && b.left + 0.5 < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom
  ).map(([other]) => [name, other]));
});
"""
# Contrast of each text with what is behind it, as the Web Content Accessibility Guidelines count it.
CONTRASTS = """
const channels = (c) => c.match(/[\\d.]+/g).map(Number);
const luminance = (c) => {
  const [r, g, b] = channels(c).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if ((channels(c)[3] ?? 1) === 1) return c;
  }
};
return arguments[0].map((selector) => {
  const e = document.querySelector(selector);
  const style = getComputedStyle(e);
  const [a, b] = [luminance(e.closest("svg") ? style.fill : style.color), luminance(behind(e.closest("svg") ?? e))];
  return [selector, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
});
"""
TEXTS = [
    "h1", "h2", "p.note", ".kicker", ".cards .name", ".cards .value", "nav a", ".notices li", "#problems .why",
    ".who a", ".who .muted", ".tag.failed", ".tag.random", ".tag.invalid", "svg.scatter .tick", "svg.scatter .label",
    "svg.scatter .label.best", ".figures b", ".figures", ".ends", "#records tbody th a", "#records tbody td",
    "#records thead button", "#repeat code", "button.copy", ".filters select", "footer", ".legend li", "summary",
]  # fmt: skip


class Page:
    """The page in a browser."""

    def __init__(self, driver: Any, path: Path) -> None:
        self.driver, self.url = driver, path.as_uri()

    def open(self, screen: tuple[int, int, int], scheme: str = "light", script: bool = True) -> Page:
        width, height, scale = screen
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        self.driver.get("about:blank")
        self.driver.get(self.url)
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def column(self, name: str) -> list[str]:
        """The texts of a column of the table of all records."""
        return self.run(
            "const heads = [...document.querySelectorAll('#records thead th')];"
            "const at = heads.findIndex((e) => e.textContent === arguments[0]);"
            "return [...document.querySelectorAll('#records tbody tr')].map((row) => row.cells[at].textContent)",
            name,
        )

    def press(self, name: str) -> None:
        """Press the head of a column."""
        self.run(
            "const buttons = [...document.querySelectorAll('#records thead button')];"
            "buttons.find((e) => e.textContent === arguments[0]).click()",
            name,
        )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    folder = tmp_path_factory.mktemp("page")
    out = write_benchmark_report([make_folder(folder / "records")], folder / "page.html", "mobileseg report records")
    options = ChromeOptions()
    options.binary_location = BROWSER or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    try:
        yield Page(driver, out)
    finally:
        driver.quit()


def test_nothing_is_complained_of_or_asked_from_the_network(page: Page) -> None:
    page.open(DESK)
    assert page.driver.get_log("browser") == []
    events = [entry["message"] for entry in page.driver.get_log("performance")]
    asked = [event for event in events if '"Network.requestWillBeSent"' in event]
    assert asked, "the log of requests is empty: this test would not see any"
    assert [event for event in asked if '"url":"http' in event or '"url":"ws' in event] == []
    assert (
        page.run("return performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length")
        == 0
    )


@pytest.mark.parametrize("screen", [PHONE, DESK, (320, 640, 2), (768, 1024, 2)])
def test_page_fits_the_screen_and_its_charts_can_be_read(page: Page, screen: tuple[int, int, int]) -> None:
    page.open(screen)
    assert page.run("return document.querySelectorAll('svg.scatter text.label').length") > 20
    assert page.run(OVERLAPS) == []
    sizes = page.run(
        "return [...document.querySelectorAll('svg.scatter')].filter((e) => e.getBoundingClientRect().width)"
        ".map((e) => e.getScreenCTM().a * parseFloat(getComputedStyle(e.querySelector('text')).fontSize))"
    )
    assert min(sizes) >= (11 if screen[0] >= 390 else 9)
    page.run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    scrolled, visible = page.run("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert scrolled == visible <= screen[0]


@pytest.mark.parametrize(
    ("scheme", "colours"),
    [("light", ["rgb(245, 246, 248)", "rgb(23, 26, 31)"]), ("dark", ["rgb(14, 17, 21)", "rgb(231, 234, 238)"])],
)
def test_texts_stand_out_in_light_and_in_dark(page: Page, scheme: str, colours: list[str]) -> None:
    page.open(DESK, scheme)
    body = "const style = getComputedStyle(document.body); return [style.backgroundColor, style.color]"
    assert page.run(body) == colours
    assert {name: round(ratio, 2) for name, ratio in page.run(CONTRASTS, TEXTS) if ratio < 4.5} == {}


def test_all_pictures_are_there_and_all_links_lead_somewhere(page: Page) -> None:
    page.open(PHONE)
    widths = page.run("return Promise.all([...document.images].map((e) => e.decode().then(() => e.naturalWidth)))")
    assert len(widths) == 12
    assert min(widths) == 240
    dead = page.run(
        "return [...document.querySelectorAll('a')].map((e) => e.getAttribute('href') ?? e.href.baseVal)"
        ".filter((e) => !e.startsWith('#') || !document.getElementById(e.slice(1)))"
    )
    assert dead == []
    assert page.run("return document.querySelectorAll('svg.scatter a[href^=\"#how-\"]').length") > 100


def test_a_link_opens_where_the_numbers_come_from(page: Page) -> None:
    page.open(PHONE)
    body = page.find("#how-7")
    assert not body.is_displayed()
    page.run("document.querySelector('#records a[href=\"#how-7\"]').click()")
    page.driver.implicitly_wait(2)
    assert page.find("#how-7 code").is_displayed()
    assert "mobileseg benchmark --bundle" in page.find("#how-7 code").text
    top = page.run("return document.getElementById('how-7').getBoundingClientRect().top")
    assert 0 <= top < 844


def test_slider_moves_by_keyboard_and_by_dragging(page: Page) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.open(PHONE)
    slider = page.find(".compare input")
    page.run("arguments[0].scrollIntoView({block: 'center'})", slider)
    shown = "return getComputedStyle(document.querySelector('.compare .exported img')).clipPath"
    assert page.run(shown) == "inset(0px 0px 0px 50%)"
    slider.send_keys(Keys.ARROW_RIGHT)
    assert page.run(shown) == "inset(0px 0px 0px 51%)"
    slider.send_keys(Keys.HOME)
    assert page.run(shown) in ("inset(0px)", "inset(0px 0px 0px 0%)")
    width = slider.size["width"]
    ActionChains(page.driver).move_to_element_with_offset(
        slider, round(-0.4 * width), 0
    ).click_and_hold().move_by_offset(round(0.7 * width), 0).release().perform()
    assert 78 <= float(slider.get_attribute("value")) <= 82
    assert slider.get_attribute("aria-valuetext").startswith(f"{slider.get_attribute('value')} % trained network")
    handle = page.run("return document.querySelector('.compare .handle').getBoundingClientRect().left")
    assert handle == pytest.approx(slider.location["x"] + 0.8 * width, abs=8)


def test_slider_follows_a_finger(page: Page) -> None:
    page.open(PHONE)
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    slider = page.find(".compare input")
    page.run("arguments[0].scrollIntoView({block: 'center'})", slider)
    box = page.run("const b = arguments[0].getBoundingClientRect(); return [b.left, b.top, b.width, b.height]", slider)
    left, y, width = box[0], box[1] + box[3] / 2, box[2]
    for kind, share in (("touchStart", 0.5), ("touchMove", 0.4), ("touchMove", 0.2), ("touchEnd", None)):
        points = [] if share is None else [{"x": left + share * width, "y": y}]
        page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    assert 17 <= float(slider.get_attribute("value")) <= 23


def test_sorting_puts_what_was_not_measured_last(page: Page) -> None:
    page.open(DESK)
    assert page.run("return document.querySelectorAll('#records thead th[aria-sort]').length") == 0
    page.press("Median ms")
    texts = page.column("Median ms")
    known = [float(text.split()[0]) for text in texts if text != "not measured"]
    assert known == sorted(known)
    assert len(known) > 80
    assert set(texts[len(known) :]) == {"not measured"}
    page.press("Median ms")
    texts = page.column("Median ms")
    assert [float(text.split()[0]) for text in texts[: len(known)]] == sorted(known, reverse=True)
    assert set(texts[len(known) :]) == {"not measured"}
    page.press("Network")
    assert page.column("Network") == sorted(page.column("Network"))
    sorted_by = page.run(
        "return [...document.querySelectorAll('th[aria-sort]')].map((e) => [e.textContent, e.ariaSort])"
    )
    assert sorted_by == [["Network", "ascending"]]


def test_choices_narrow_the_whole_page(page: Page) -> None:
    from selenium.webdriver.support.select import Select

    page.open(DESK)
    Select(page.find(".filters select[name=device]")).select_by_value("Example Phone 9")
    shown = "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility()).length"
    assert page.run(shown, "#records tbody tr") == 26
    assert page.find("#shown").text == "26 of 103 records"
    headings = page.run(
        "return [...document.querySelectorAll('h3')].filter((e) => e.checkVisibility()).map((e) => e.textContent)"
    )
    assert "Example Phone 9" in headings
    assert "Example CPU @ 2.50GHz" not in headings
    page.find(".filters button").click()
    assert page.run(shown, "#records tbody tr") == 103


def test_tap_targets_are_large_enough(page: Page) -> None:
    page.open(PHONE)
    heights = page.run(
        "return [...document.querySelectorAll('summary, .filters select, #records thead button, nav a')]"
        ".filter((e) => e.checkVisibility()).map((e) => [e.textContent.slice(0, 20), e.getBoundingClientRect().height])"
    )
    assert len(heights) > 30
    assert [each for each in heights if each[1] < 24] == []


def test_without_script_everything_can_be_read(page: Page) -> None:
    page.open(PHONE, script=False)
    try:
        document = page.driver.execute_cdp_cmd("DOM.getDocument", {"depth": 1})["root"]["nodeId"]

        def boxes(selector: str) -> list[dict[str, Any]]:
            found = page.driver.execute_cdp_cmd("DOM.querySelectorAll", {"nodeId": document, "selector": selector})
            return [
                page.driver.execute_cdp_cmd("DOM.getBoxModel", {"nodeId": each})["model"] for each in found["nodeIds"]
            ]

        pictures = boxes(".compare:first-of-type img")[:3]
        tops = [box["content"][1] for box in pictures]
        assert tops == sorted(set(tops)), "the three pictures lie below each other"
        assert all(box["width"] > 300 for box in pictures)
        assert len(boxes("#records tbody tr")) == 103
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_headings_are_in_order_and_controls_have_names(page: Page) -> None:
    page.open(DESK)
    levels = page.run("return [...document.querySelectorAll('h1,h2,h3,h4,h5')].map((e) => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    unnamed = page.run(
        "return [...document.querySelectorAll('button, input, select, svg[role], [role=region], [role=img]')]"
        ".filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim())).length"
    )
    assert unnamed == 0
