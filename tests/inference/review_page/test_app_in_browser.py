"""The page in Chromium: keys, the pointer, what is requested, and what a page of another origin gets. Marked long.

Needs the packages playwright and uvicorn, and a Chromium of this machine: nothing is downloaded.
"""

import contextlib
import http.server
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.review_page.decisions import parse_decisions
from tests.inference.review_page.made import write_run
from tests.retinanet_odm.prediction_rows import CRAB, PIG, STAR, failed, scored

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[3]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROWS = (scored("a.jpg", PIG, CRAB), scored("b.jpg", STAR), failed("broken.jpg"), scored("empty.jpg"))


class _Server:
    """A review in a process of its own."""

    def __init__(self, output: Path) -> None:
        words = ["-m", "inference", "review", str(output), "--no_browser"]
        self.process = subprocess.Popen([sys.executable, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"http://\S+", line):
                self.address = found[0]
                return
        pytest.fail("".join(self.lines))

    def close(self) -> None:
        """Ends the process if a test has not."""
        self.process.kill()
        self.process.communicate()

    def end(self, number: int = signal.SIGINT) -> str:
        self.process.send_signal(number)
        return self.process.communicate(timeout=20)[1]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return write_run(tmp_path, ROWS)


@pytest.fixture
def serve(output: Path) -> Iterator[Callable[[], _Server]]:
    """Starts servers, which end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(_Server(output)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    pytest.importorskip("uvicorn")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def _open(browser: Any, address: str) -> tuple[Any, list[str]]:
    """Opens a page, and returns it with the addresses that it asks for, and its errors."""
    page, seen = browser.new_page(viewport={"width": 1280, "height": 800}), []
    page.on("request", lambda request: seen.append(request.url))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("console", lambda message: seen.append(f"error: {message.text}") if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector(".row.current")
    return page, seen


def _press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
        page.wait_for_selector(
            "#saved:not(:text-is('saving …'))", state="attached"
        )  # no function: the page's policy forbids eval


def _decisions(output: Path) -> list[tuple[str, str, bool, list[tuple[str, str]]]]:
    found, torn = parse_decisions((output / "review.jsonl").read_bytes(), source="")
    assert not torn
    return [(one.image, one.action, one.done, [(item.label, item.verdict) for item in one.objects]) for one in found]


def test_a_review_by_keys(browser: Any, output: Path, serve: Callable[[], _Server]) -> None:
    server = serve()
    page, seen = _open(browser, server.address)
    _press(page, "x", "2", "u", "Enter")
    assert _decisions(output) == [
        ("a.jpg", "reject", False, [("sea pig", "rejected"), ("crab", "open")]),
        ("a.jpg", "label", False, [("sea pig", "rejected"), ("sea pig", "accepted")]),
        ("a.jpg", "undo", False, [("sea pig", "rejected"), ("crab", "open")]),
        ("a.jpg", "done", True, [("sea pig", "rejected"), ("crab", "accepted")]),
    ]
    page.wait_for_selector("#name:text-is('b.jpg')")
    _press(page, "Enter", "g")  # b.jpg is done; broken.jpg is passed over
    page.wait_for_selector("#name:text-is('empty.jpg')")
    # A box is drawn in the middle of the image, moved by a pixel, and resized by dragging its corner.
    page.keyboard.press("b")
    image = page.locator("#canvas").bounding_box()
    across, down = (
        (lambda share: image["x"] + image["width"] * share),
        (lambda share: image["y"] + image["height"] * share),
    )
    for begin, end in (((0.25, 0.25), (0.5, 0.5)), ((0.5, 0.5), (0.75, 0.5))):
        page.mouse.move(across(begin[0]), down(begin[1]))
        page.mouse.down()
        page.mouse.move(across(end[0]), down(end[1]), steps=4)
        page.mouse.up()
    _press(page, "Alt+ArrowRight")
    found, _ = parse_decisions((output / "review.jsonl").read_bytes(), source="")
    assert [one.action for one in found[-3:]] == ["draw", "move", "move"]
    assert found[-1].objects[0].box == pytest.approx((11, 7.5, 31, 15), abs=0.3)
    page.locator("#help-button").click()
    assert page.locator("#help").is_visible()
    asked = [url for url in seen if not url.startswith(server.address.partition("#")[0])]
    assert asked == [], "nothing is asked of another server, and no error is logged"
    assert "token" not in page.url, "the token is in no history"
    page.reload()
    page.wait_for_selector(".row.current")
    assert "2 of 3 reviewed" in page.locator("#progress-text").inner_text()
    page.close()
    assert "review: 2 of 3 images reviewed" in server.end() and server.process.returncode == 0


def test_a_kill_loses_nothing_that_the_page_called_saved(
    browser: Any, output: Path, serve: Callable[[], _Server]
) -> None:
    server = serve()
    page, _ = _open(browser, server.address)
    _press(page, "a", "Enter")
    server.end(signal.SIGKILL)
    before = _decisions(output)
    assert [row[:3] for row in before] == [("a.jpg", "accept", False), ("a.jpg", "done", True)]
    page.keyboard.press("a")
    page.wait_for_selector(".saved.bad")
    assert "Not saved: The server has ended" in page.locator("#saved").inner_text()
    page.close()
    with (output / "review.jsonl").open("ab") as file:
        file.write(b'{"image": "b.jpg", "ro')
    again = serve()
    assert "the last line was cut after 22 bytes and is dropped" in "".join(again.lines)
    again.end()
    assert _decisions(output) == before


_EVIL = """
<img id="stolen"><script>
async function steal(address) {
  const found = {};
  for (const [name, options] of Object.entries({
    read: {}, write: {method: "POST", body: "{}", headers: {"content-type": "application/json"}},
    form: {method: "POST", body: "{}", mode: "no-cors"},
  })) {
    try {
      const answer = await fetch(address + "api/image/0?token=TOKEN", options);
      found[name] = answer.type + (await answer.text());
    } catch (error) { found[name] = "refused"; }
  }
  found.image = await new Promise((done) => {
    const image = document.getElementById("stolen");
    image.onload = () => done("shown"); image.onerror = () => done("refused");
    image.src = address + "picture/full/0?token=TOKEN";
  });
  return found;
}
</script>
"""


def test_a_page_of_another_origin_can_neither_read_nor_write(
    browser: Any, output: Path, serve: Callable[[], _Server]
) -> None:
    """Even with the token, which it cannot know; nor by another name of this machine (DNS rebinding)."""
    server = serve()
    address, _, token = server.address.partition("#token=")

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(_EVIL.replace("TOKEN", token).encode())

        def log_message(self, *_: object) -> None:
            pass

    evil = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{evil.server_port}/")
    found = page.evaluate("(address) => steal(address)", address)
    assert found == {"read": "refused", "write": "refused", "form": "refused", "image": "refused"}
    assert (output / "review.jsonl").read_bytes() == b"", "nothing was written"
    page.close()
    rebound = browser.new_page()
    answer = rebound.goto(address.replace("127.0.0.1", "rebound.localhost") + f"api/run?token={token}")
    assert answer.status == 421
    rebound.close()
    evil.shutdown()
    server.end()
