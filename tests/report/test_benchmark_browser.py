"""The benchmark page in a real browser: Debian's Chromium, without a window."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report.benchmark_page import write_benchmark_report
from tests.report.benchmark_browser import DESK, PHONE, Page
from tests.report.made_records import COMPUTER, invalid, make_folder, make_record

selenium = pytest.importorskip("selenium", reason="the Python package selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="Debian's packages chromium and chromium-driver are not installed"
)

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


def choose(page: Page, name: str, value: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(page.find(f".filters select[name={name}]")).select_by_value(value)


def shown(page: Page, selector: str) -> int:
    """How many elements are visible."""
    script = "return [...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility()).length"
    return page.run(script, selector)


def test_choices_narrow_the_whole_page(page: Page) -> None:
    page.open(DESK)
    choose(page, "device", "Example Phone 9")
    assert shown(page, "#records tbody tr") == 26
    assert page.find("#shown").text == "26 of 103 records"
    headings = page.run(
        "return [...document.querySelectorAll('h3')].filter((e) => e.checkVisibility()).map((e) => e.textContent)"
    )
    assert "Example Phone 9" in headings
    assert "Example CPU @ 2.50GHz" not in headings
    page.find(".filters button").click()
    assert shown(page, "#records tbody tr") == 103


def test_choices_leave_no_lines_tables_or_empty_sections_of_others(page: Page) -> None:
    page.open(DESK)
    assert shown(page, ".scatter .front") > 0
    choose(page, "network", "topformer_tiny")
    assert shown(page, ".scatter .front") == 0
    assert shown(page, "#classes details") == 1
    assert shown(page, "#accuracy > details") == 0
    folded = "return [...document.querySelectorAll('#stages .group summary, #provenance > details > summary')]"
    assert page.run(f"{folded}.filter((e) => e.checkVisibility()).map((e) => e.textContent)") == [
        "4 more on this device",
        "1 more on this device",
        "Example CPU @ 2.50GHz: 5 records",
        "Example Phone 9: 2 records",
        "Xiaomi Mi 9: 1 record",
    ]
    choose(page, "backend", "lite")
    others = page.run(
        "return [...document.querySelectorAll('svg.scatter [data-n]')].filter((e) => e.checkVisibility())"
        ".filter((e) => document.getElementById(`record-${e.dataset.n}`).classList.contains('out')).length"
    )
    assert others == 0
    assert page.find("#operators .nothing").text == "Nothing here with this choice."
    assert [shown(page, f"#{name} .nothing") for name in ("problems", "pictures", "thermal", "records")] == [1, 1, 1, 0]


def test_a_link_to_what_the_choices_hide_drops_them(page: Page) -> None:
    page.open(DESK)
    page.driver.implicitly_wait(2)
    for _ in range(2):  # the second time it is the page's address already
        choose(page, "device", "Example Phone 9")
        assert shown(page, "#records tbody tr") == 26
        page.run("document.querySelector('#headline a').click()")
        assert page.find("#records tbody tr:not(.out)[id=record-1]").is_displayed()
        assert page.find(f"{page.run('return location.hash')} dl").is_displayed()


def test_marks_are_touched_where_they_are(page: Page) -> None:
    """All but those that share their place with another."""
    page.open(PHONE)
    wrong = page.run("""
    return [...document.querySelectorAll("svg.scatter")].filter((svg) => svg.checkVisibility()).flatMap((svg) => {
      svg.scrollIntoView({block: "center"});
      const marks = [...svg.querySelectorAll("a.mark")].map((a) => {
        const box = a.querySelector(".target").getBoundingClientRect();
        return [a, box.left + box.width / 2, box.top + box.height / 2];
      });
      return marks.filter(([a, x, y]) =>
        document.elementFromPoint(x, y).closest("a") !== a &&
        !marks.some(([b, u, v]) => b !== a && Math.hypot(u - x, v - y) < 3.5)
      ).map(([a]) => a.textContent);
    });
    """)
    assert wrong == []


def test_bars_of_stages_are_to_scale(page: Page) -> None:
    page.open(PHONE)
    rows = page.run("""
    return [...document.querySelectorAll(".stack")].filter((e) => e.checkVisibility()).map((stack) => {
      const [outer, last] = [stack, stack.lastElementChild].map((e) => e.getBoundingClientRect());
      const asked = [...stack.children].reduce((sum, part) => sum + parseFloat(part.style.width), 0);
      return [100 * (last.right - outer.left) / outer.width, asked];
    });
    """)
    assert len(rows) > 10
    assert [row for row in rows if abs(row[0] - row[1]) > 0.3] == []


def test_commands_lie_beside_their_copy_button(page: Page) -> None:
    page.open(PHONE)
    ends = page.run("""
    document.querySelectorAll("details").forEach((e) => { e.open = true; });
    return [...document.querySelectorAll(".command")].map((e) => {
      const [code, button] = ["code", "button"].map((name) => e.querySelector(name).getBoundingClientRect());
      const pre = e.querySelector("pre");
      return [code.right - button.left, pre.scrollWidth - pre.clientWidth];
    });
    """)
    assert len(ends) > 80
    assert [end for end in ends if end[0] > 0 or end[1] > 0] == []


def test_sizes_are_sorted_as_numbers_and_long_tables_scroll(page: Page) -> None:
    page.open(DESK)
    page.press("Input")
    sizes = [text.split("x") for text in page.column("Input") if text != "not recorded"]
    areas = [int(width) * int(height) for width, height in sizes]
    assert areas == sorted(areas)
    assert len(set(areas)) > 2
    heights = "return [...document.querySelectorAll('.scroll.long')].map((e) => e.getBoundingClientRect().height)"
    assert [height <= 710 for height in page.run(heights)] == [True, True]


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_long_names_do_not_widen_the_page(page: Page, tmp_path: Path, width: int) -> None:
    long = "a" * 150
    record = make_record(long, "b" * 150, {**COMPUTER, "name": "c" * 150})
    record["accuracy"] |= {"dataset": "d" * 150, "iou": {"e" * 150: 0.5}}
    records.write(tmp_path, record)
    records.write(tmp_path, invalid(make_record(long, number=1), "r" * 900))
    other = Page(page.driver, write_benchmark_report([tmp_path], tmp_path / "page.html", f"mobileseg report {long}"))
    other.open((width, 800, 1))
    other.run("document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    scrolled, visible = other.run("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]")
    assert scrolled == visible <= width


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
