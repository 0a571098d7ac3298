"""The page of a run in a real browser, at the widths of phones and of a desktop."""

from __future__ import annotations

from typing import Any

import pytest

from paddle_mobileseg.benchmark import record as records
from paddle_mobileseg.report import write_report
from tests.report.conftest import make_record

WIDE = """
return [...document.querySelectorAll("main *")]
  .filter(each => !each.closest(".scroll, pre, svg") && each.getBoundingClientRect().right > arguments[0] + 1)
  .map(each => each.tagName + " " + each.textContent.slice(0, 60))
"""


def show(browser: Any, made: Any, width: int, scheme: str = "light") -> None:
    longest = "/a/path/without/a/place/to/break/" + "x" * 120
    for status, reasons in (("ok", []), ("invalid", [longest])):
        record = make_record(made.bundle, "onnxruntime", 4, [11.0, 12.0, 13.0], 20.0, 15.0)
        record["status"], record["validity"] = status, {"valid": not reasons, "reasons": reasons}
        record["device"] |= {"kind": "adb", "name": longest, "soc": longest}
        record["command"] = f"mobileseg benchmark --bundle {longest}"
        records.write(made.records, record)
    path = write_report(made.run, made.run.parent / "report.html", [made.bundle], [made.records, made.run])
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme_feature]})
    browser.get(path.as_uri())


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(browser: Any, made: Any, width: int) -> None:
    show(browser, made, width)
    assert browser.execute_script("return innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(WIDE, width) == []
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser: Any, made: Any, scheme: str) -> None:
    show(browser, made, 390, scheme)
    colours = """
      const style = getComputedStyle(document.body);
      const badge = getComputedStyle(document.querySelector("#latency .badge.bad"));
      return [[style.color, style.backgroundColor], [badge.color, badge.backgroundColor]]
    """
    for text, back in browser.execute_script(colours):
        assert contrast(luminance(text), luminance(back)) >= 4.5, (text, back)
    page = luminance(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert page < 0.1 if scheme == "dark" else page > 0.8


def luminance(colour: str) -> float:
    """Relative luminance of ``rgb(r, g, b)`` as WCAG 2 has it."""
    parts = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
