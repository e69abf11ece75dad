"""A headless Chromium that opens a page and says what went wrong in it.

It speaks the DevTools protocol, https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LOCAL = ("file:", "data:", "blob:", "about:")

# Lazy images are loaded, too; what is asked afterwards is asked of a page that is complete.
_LOAD = """(async () => {
  const images = [...document.images];
  images.forEach(image => { image.loading = "eager"; });
  await Promise.all(images.map(image => image.decode().catch(() => {})));
  await window.plotlyReady;
  const heatmaps = plot => plot.querySelectorAll(".main-svg .heatmaplayer image").length;
  const plots = () => [...document.querySelectorAll(".js-plotly-plot")];
  for (let tries = 0; tries < 1000 && !plots().every(heatmaps); tries++)
    await new Promise(done => setTimeout(done, 100));
  await new Promise(done => setTimeout(done, 500));  // for errors that come late
  return JSON.stringify({
    images: images.length,
    broken: images.filter(i => !i.naturalWidth).map(i => i.src.slice(0, 200)),
    interactive: plots().map(heatmaps),
    buttons: [...document.querySelectorAll(".modebar-btn")].map(b => b.dataset.title),
    text: document.body.innerText,
  });
})()"""


@dataclass
class Opened:
    """What a browser saw of a page."""

    errors: list[str] = field(default_factory=list)  # of the console, and exceptions
    remote: list[str] = field(default_factory=list)  # addresses that are not local
    images: int = 0
    broken: list[str] = field(default_factory=list)  # images that were not drawn
    interactive: list[int] = field(default_factory=list)  # heatmaps drawn, for each figure
    buttons: list[str] = field(default_factory=list)  # of all interactive figures
    text: str = ""


def find_browser() -> str | None:
    """The path of a browser, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


needs_browser = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium here: `apt install chromium`"
)


def open_page(
    page: Path, screenshot: Path | None = None, size: tuple[int, int] = (1300, 1000)
) -> Opened:
    """Open a page from disk and look at it."""
    from websocket import create_connection

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [find_browser(), "--headless=new", "--no-sandbox", "--disable-gpu"]
        command += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        command += ["--remote-allow-origins=*", "--disable-dev-shm-usage", "--no-first-run"]
        command += [f"--window-size={size[0]},{size[1]}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = _port(Path(profile, "DevToolsActivePort"))
            connection = create_connection(port, timeout=PATIENCE)
            return _look(_Page(connection), page.resolve().as_uri(), screenshot)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _port(file: Path) -> str:
    """The address of the browser, which it writes when it is ready."""
    end = time.monotonic() + PATIENCE
    while not (file.is_file() and len(lines := file.read_text().splitlines()) == 2):
        if time.monotonic() > end:
            raise TimeoutError(f"the browser did not start within {PATIENCE} s")
        time.sleep(0.05)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


class _Page:
    """A tab of the browser."""

    def __init__(self, connection) -> None:
        self.connection, self.last, self.session = connection, 0, None
        self.events: list[dict] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]

    def call(self, method: str, **parameters) -> dict:
        self.last += 1
        message = {"id": self.last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.connection.send(json.dumps(message))
        while True:
            answer = json.loads(self.connection.recv())
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(json.loads(self.connection.recv()))


def _look(page: _Page, address: str, screenshot: Path | None) -> Opened:
    for domain in ("Page", "Runtime", "Network", "Log"):
        page.call(f"{domain}.enable")
    page.call("Page.navigate", url=address)
    page.wait_for("Page.loadEventFired")
    asked = {"expression": _LOAD, "awaitPromise": True, "returnByValue": True}
    found = json.loads(page.call("Runtime.evaluate", **asked)["result"]["value"])
    opened = Opened(**found)
    for event in page.events:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                opened.errors.append(str(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "assert"):
                opened.errors.append(str(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                opened.errors.append(str(parameters["entry"]))
            case "Network.requestWillBeSent":
                if not (url := parameters["request"]["url"]).startswith(LOCAL):
                    opened.remote.append(url)
    if screenshot:
        shown = page.call("Page.captureScreenshot", captureBeyondViewport=True)
        screenshot.write_bytes(base64.b64decode(shown["data"]))
    return opened
