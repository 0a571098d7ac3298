"""The benchmark page in a browser that selenium drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PHONE, DESK = (390, 844, 3), (1280, 900, 1)  # width and height in CSS pixels, scale


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
