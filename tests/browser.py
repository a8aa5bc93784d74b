"""Chromium without a window, driven by WebDriver's own protocol: JSON over HTTP to chromedriver.

Source: W3C, WebDriver, section 6 and following.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from waiting import HANG, until

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-component-update", "--disable-sync", "--window-size=1200,1100",
)  # fmt: skip
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def missing() -> bool:
    """Whether there is no browser here."""
    return not (shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """A window, until the block ends."""

    def __init__(self, folder: Path) -> None:
        options = [*OPTIONS, f"--user-data-dir={folder / 'profile'}"]
        self._driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self._base = f"http://127.0.0.1:{self._port()}"
        wanted = {"goog:chromeOptions": {"args": options, "binary": shutil.which("chromium")},
                  "goog:loggingPrefs": {"browser": "ALL"},
                  "timeouts": {"script": 1000 * int(HANG), "pageLoad": 1000 * int(HANG)}}  # fmt: skip
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base += f"/session/{session['sessionId']}"

    def _port(self) -> int:
        assert self._driver.stdout is not None
        for line in self._driver.stdout:
            found = re.search(rb"successfully on port (\d+)", line)
            if found:
                return int(found[1])
        raise AssertionError("chromedriver has not started")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=HANG) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from None

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.communicate()

    def open(self, address: str) -> None:
        self._call("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script of the page's returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).innerText", selector))

    def click(self, selector: str) -> None:
        """Click where a person could: the page shows some of its parts only when the server has answered."""
        until(lambda: self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", selector))
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{found[ELEMENT]}/click", {})

    def write(self, selector: str, text: str) -> None:
        """Put a value where a person would type it, or choose it."""
        self.run("document.querySelector(arguments[0]).value = arguments[1]", selector, text)

    def until(self, selector: str, words: str) -> str:
        """Wait until an element shows these words; returns all that it shows."""
        end = time.monotonic() + HANG
        while words not in (shown := self.text(selector)):
            assert time.monotonic() < end, f"{selector} shows {shown!r}, not {words!r}"
            time.sleep(0.05)
        return shown

    def complaints(self) -> list[str]:
        """What the browser's console said, of refused scripts and failed requests too."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))
