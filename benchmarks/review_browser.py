"""Drives Chromium through the page of `review` and prints what it measured as JSON; started by benchmarks.review.

It needs playwright only, and runs in an environment of its own.
"""

import json
import statistics
import sys
import time

from playwright.sync_api import Page, sync_playwright

# Frame times while the list is scrolled by the wheel, or flung from end to end, and tasks of 50 ms or more meanwhile.
_WATCH = """() => {
  window.frames = []; window.long = [];
  let last = performance.now();
  const tick = (now) => { window.frames.push(now - last); last = now; window.ticking = requestAnimationFrame(tick); };
  window.ticking = requestAnimationFrame((now) => { last = now; tick(now); });
  window.watcher = new PerformanceObserver((list) => window.long.push(...list.getEntries().map((one) => one.duration)));
  window.watcher.observe({ entryTypes: ["longtask"] });
}"""
_STOP = """() => {
  cancelAnimationFrame(window.ticking); window.watcher.disconnect();
  return [window.frames.slice(2), window.long, document.querySelectorAll('.row').length];
}"""


def scroll(page: Page, *, delta: int, steps: int) -> dict[str, float]:
    """Turn the wheel over the list; return frame times in milliseconds."""
    page.evaluate("() => { document.getElementById('list').scrollTop = 0; }")
    page.wait_for_timeout(1500)
    box = page.locator("#list").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.evaluate(_WATCH)
    for _ in range(steps):
        page.mouse.wheel(0, delta)
        page.wait_for_timeout(30)
    frames, long_tasks, rows = page.evaluate(_STOP)
    ordered = sorted(frames)
    return {
        "frames": len(frames),
        "median": statistics.median(frames),
        "p95": ordered[int(0.95 * len(ordered))],
        "worst": ordered[-1],
        "long_tasks": len(long_tasks),
        "longest_task": max(long_tasks, default=0.0),
        "rows": rows,
        "moved": page.evaluate("() => document.getElementById('list').scrollTop"),
    }


def step_images(page: Page, count: int) -> list[float]:
    """Finish images by Enter; return the seconds until each next one is shown with its boxes."""
    waited = []
    for _ in range(count):
        name = page.locator("#name").inner_text()
        began = time.perf_counter()
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#name:not(:text-is('{name}'))")
        page.wait_for_selector("#canvas:not(.loading) #boxes rect.line", state="attached")
        waited.append(time.perf_counter() - began)
    return waited


def main() -> None:
    """Measure the page at an address, with a Chromium; both are arguments."""
    address, chromium = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page, asked = browser.new_page(viewport={"width": 1440, "height": 900}), []
        page.on("request", lambda request: asked.append(request.url))
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("#canvas:not(.loading) #boxes rect.line", state="attached")
        opened = time.perf_counter() - began
        wheel, fling = scroll(page, delta=120, steps=120), scroll(page, delta=12_000, steps=60)
        waited = step_images(page, 40)
        elsewhere = [url for url in asked if not url.startswith(address.partition("#")[0])]
        heap = page.evaluate("() => performance.memory.usedJSHeapSize")
        browser.close()
    value = {"opened": opened, "wheel": wheel, "fling": fling, "waited": waited, "elsewhere": elsewhere, "heap": heap}
    print(json.dumps(value))


if __name__ == "__main__":
    main()
