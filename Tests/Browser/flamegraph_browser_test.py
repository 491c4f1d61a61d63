#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens flame graphs in a real browser and uses them as a person would.

Usage: flamegraph_browser_test.py [FOLDER [SCREENSHOTS]]

FOLDER holds what writeFlameGraphFiles in Tests/ReportingTests wrote; without it, the files are made first, which
builds the tests. Needs Chromium, and of Python only the standard library.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
from devtools import Browser  # noqa: E402

CONTROL = 2  # the DevTools protocol's bit for the Ctrl key
folder = None
screenshots = None
browser = None


class FlameGraphTest(unittest.TestCase):
    def setUp(self):
        self.page = browser.page()
        self.page.resize(1280, 800)

    def tearDown(self):
        self.assertEqual(self.page.problems, [])
        self.assertFalse(self.page.evaluate("'hacked' in window"))
        # Nothing but the file itself is ever asked for.
        others = [url for url in self.page.requests if not url.startswith(("file://", "about:"))]
        self.assertEqual(others, [])
        if screenshots:
            self.page.screenshot(pathlib.Path(screenshots, self.id().split(".")[-1] + ".png"))
        self.page.close()

    def open(self, name, fragment=""):
        self.page.open(f"file://{folder}/{name}{fragment}")
        self.settle()

    def settle(self):
        self.page.wait("!apusFlameGraph.state().isMoving")
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def boxes(self):
        return self.page.evaluate("apusFlameGraph.boxes()")

    def box(self, name):
        return next(box for box in self.boxes() if box["name"] == name)

    def place(self, name):
        """The middle of a box in the window."""
        box = self.box(name)
        left, top = self.page.evaluate(
            "(({left, top}) => [left, top])(document.querySelector('canvas').getBoundingClientRect())")
        return left + box["left"] + box["width"] / 2, top + box["top"] + 9

    def text(self, selector):
        return self.page.evaluate(f"document.querySelector({selector!r}).textContent")

    def opacities(self, points):
        """How opaque the canvas is at these points, read in one go: the browser warns of more."""
        return self.page.evaluate("""((points) => {
            const canvas = document.querySelector('canvas');
            const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return points.map(([x, y]) => image.data[(Math.floor(y) * image.width + Math.floor(x)) * 4 + 3]);
        })""" + f"({points})")

    def test_boxes_are_as_wide_as_their_share(self):
        for name in ("server.html", "server.svg", "icicle.html"):
            self.open(name)
            boxes = self.boxes()
            width = boxes[0]["width"]
            for box in boxes:
                self.assertAlmostEqual(box["width"], width * box["total"] / boxes[0]["total"], delta=0.01)
            own = self.page.evaluate(
                "Array.from({length: apusFlameGraph.count}, (_, i) => apusFlameGraph.own(i)).reduce((a, b) => a + b)")
            self.assertEqual(own, boxes[0]["total"])
            # They are really there.
            points = [[box["left"] + 1.5, box["top"] + 2] for box in boxes if box["width"] > 4]
            self.assertEqual(set(self.opacities(points)), {255})

    def test_search_tells_the_share(self):
        for name in ("server.html", "server.svg"):
            self.open(name)
            total = self.box("all")["total"]
            expected = self.box("malloc")["total"]
            self.page.key("/", text="/")
            self.page.type("malloc")
            self.settle()
            # _int_malloc stands on malloc: its samples count once.
            self.assertEqual(self.text("#apus-found"), f"2 frames, {100 * expected / total:.2f}%")
            self.page.key("Escape", code=27)
            self.settle()
            self.assertEqual(self.text("#apus-found"), "")
            self.assertEqual(self.page.evaluate("document.querySelector('input').value"), "")

    def test_search_by_regular_expression_and_case(self):
        self.open("server.html")
        for expression, found in (("^tcp_(push|recvmsg)$", "2 frames"), ("MALLOC", "0 frames"), ("jsonencoder", "1 frame"),
                                  ("no such", "0 frames, 0.00%"), ("^all$", "0 frames"), ("(", "not a regex"),
                                  ("append(_", "not a regex, found as text: 1 frame")):
            self.page.evaluate("(() => { const input = document.querySelector('input'); input.value = "
                               f"{expression!r}; input.dispatchEvent(new Event('input')); }})()")
            self.assertTrue(self.text("#apus-found").startswith(found), (expression, self.text("#apus-found")))

    def test_control_f_searches_once_and_then_is_the_browsers(self):
        self.open("server.html")
        self.page.key("f", modifiers=CONTROL, code=70)
        self.assertTrue(self.page.evaluate("document.activeElement.id === 'apus-search'"))
        prevented = ("(() => { const event = new KeyboardEvent('keydown', {key: 'f', ctrlKey: true, bubbles: true,"
                     " cancelable: true}); document.dispatchEvent(event); return event.defaultPrevented; })()")
        self.assertFalse(self.page.evaluate(prevented))

    def test_zoom_keeps_proportions(self):
        for name in ("server.html", "server.svg", "comparison.html"):
            self.open(name)
            before = {box["box"]: box for box in self.boxes()}
            zoomed = self.box("JSONEncoder.encode<A>(_: A) -> [UInt8]")
            self.page.click(*self.place(zoomed["name"]))
            self.settle()
            after = {box["box"]: box for box in self.boxes()}
            factor = after[zoomed["box"]]["width"] / zoomed["width"]
            self.assertGreater(factor, 2)
            above = [box for box in after.values() if box["depth"] > zoomed["depth"]]
            self.assertGreater(len(above), 2)
            for box in above:
                self.assertAlmostEqual(box["width"], before[box["box"]]["width"] * factor, delta=0.01)
            crumbs = self.page.evaluate("[...document.querySelectorAll('.crumbs button')].map((b) => b.textContent)")
            self.assertEqual(crumbs[0], "all")
            self.assertEqual(crumbs[-1], zoomed["name"])
            self.page.evaluate("document.querySelector('.crumbs button').click()")
            self.settle()
            self.assertEqual({box["box"]: box["width"] for box in self.boxes()},
                             {number: box["width"] for number, box in before.items()})

    def test_the_address_says_what_is_shown(self):
        self.open("server.svg")
        self.page.click(*self.place("read"))
        self.page.key("/", text="/")
        self.page.type("tcp")
        self.settle()
        found = self.text("#apus-found")
        self.assertIn("of the zoomed", found)
        fragment = self.page.evaluate("location.hash")
        focus = self.page.evaluate("apusFlameGraph.state().focus")
        self.assertGreater(focus, 0)
        self.open("server.svg", fragment)
        self.assertEqual(self.page.evaluate("apusFlameGraph.state().focus"), focus)
        self.assertEqual(self.text("#apus-found"), found)
        for nonsense in ("#zoom=-1", "#zoom=1e9", "#zoom=x&search=%", "#&&=", "#zoom=0.5"):
            self.open("server.svg", nonsense)
            self.assertEqual(self.page.evaluate("apusFlameGraph.state().focus"), 0)

    def test_tooltip(self):
        self.open("server.html")
        name = "JSONEncoder.encode<A>(_: A) -> [UInt8]"
        box, parent = self.box(name), self.box("RequestHandler.handle(_: HTTPRequest) async throws -> HTTPResponse")
        self.page.mouse("mouseMoved", *self.place(name))
        self.settle()
        text = self.text(".tip")
        for part in (name, "/usr/bin/web-server", "Sources/json/Encoder.swift:77", f"{box['total']:,} samples",
                     f"{100 * box['total'] / self.box('all')['total']:.2f}%",
                     f"{100 * box['total'] / parent['total']:.2f}%"):
            self.assertIn(part, text)
        self.page.mouse("mouseMoved", 5, 5)
        self.settle()
        self.assertTrue(self.page.evaluate("document.querySelector('.tip').hidden"))

    def test_tooltip_stays_in_the_window(self):
        self.page.resize(420, 600)
        self.open("server.html")
        for box in self.boxes():
            left, top = self.page.evaluate(
                "(({left, top}) => [left, top])(document.querySelector('canvas').getBoundingClientRect())")
            self.page.mouse("mouseMoved", left + box["left"] + box["width"] / 2, top + box["top"] + 9)
            inside = self.page.evaluate(
                "(({left, top, right, bottom}) => left >= 0 && top >= 0 && right <= innerWidth && bottom <= "
                "innerHeight)(document.querySelector('.tip').getBoundingClientRect())")
            self.assertTrue(inside, box)
        self.assertTrue(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    def test_keyboard_alone(self):
        self.open("server.html")
        self.page.evaluate("document.querySelector('canvas').focus()")
        for key in ("ArrowUp", "ArrowRight", "ArrowUp", "Enter"):
            self.page.key(key, code=13 if key == "Enter" else 0)
        self.settle()
        self.assertEqual(self.page.evaluate("apusFlameGraph.state().focus"),
                         self.page.evaluate("apusFlameGraph.find('_start')"))
        self.assertTrue(self.text("#apus-live").startswith("_start: "))
        self.page.key("Backspace", code=8)
        self.settle()
        self.assertTrue(self.text(".crumbs button[aria-current]") == "web-server")
        self.page.key("Escape", code=27)
        self.settle()
        self.assertEqual(self.page.evaluate("apusFlameGraph.state().focus"), 0)

    def test_every_control_has_a_name(self):
        self.open("server.svg")
        nodes = self.page.call("Accessibility.getFullAXTree")["nodes"]
        controls = [node for node in nodes if node.get("role", {}).get("value") in
                    ("button", "searchbox", "textbox", "application", "navigation", "Canvas")]
        self.assertGreaterEqual(len(controls), 5)
        for node in controls:
            self.assertTrue(node["name"]["value"], node)

    def test_hostile_names_are_text(self):
        for name in ("hostile.html", "hostile.svg"):
            self.open(name)
            names = {box["name"] for box in self.boxes()}
            self.assertIn("</script><script>window.hacked = 1</script>", names)
            self.assertIn("a\\u2028b\\u2029c", names)
            self.assertIn("new\\nline;semicolon", names)
            for box in self.boxes():
                self.page.mouse("mouseMoved", *self.place(box["name"]))
            self.page.click(*self.place("__proto__"))
            self.settle()
            self.assertEqual(self.page.evaluate("document.querySelectorAll('img, svg svg, iframe').length"), 0)
            self.assertFalse(self.page.evaluate("'hacked' in window"))

    def test_pictures_need_no_script(self):
        for name in ("server", "comparison", "hostile", "empty"):
            self.page.call("Emulation.setScriptExecutionDisabled", value=True)
            self.page.call("Page.navigate", url=f"file://{folder}/{name}.svg")
            time.sleep(0.3)
            self.page.call("Emulation.setScriptExecutionDisabled", value=False)
            # An XML document that is not well formed has an element that says so.
            self.assertEqual(self.page.evaluate("document.querySelectorAll('parsererror').length"), 0)
            self.assertGreaterEqual(self.page.evaluate("document.querySelectorAll('svg > g > rect').length"), 1)

    def test_many_frames_are_smooth(self):
        for name in ("large.html", "large.svg"):
            begun = time.monotonic()
            self.open(name)
            opened = time.monotonic() - begun
            paint, search = self.page.evaluate("""(() => {
                const begun = performance.now();
                for (let i = 0; i < 10; i++) apusFlameGraph.paint();
                // Drawing is put off until somebody looks.
                document.querySelector('canvas').getContext('2d').getImageData(0, 0, 1, 1);
                const painted = performance.now();
                const input = document.querySelector('input');
                input.value = 'number_1.*9';
                input.dispatchEvent(new Event('input'));
                return [(painted - begun) / 10, performance.now() - painted];
            })()""")
            count = self.page.evaluate("apusFlameGraph.count")
            print(f"\n{name}: {count} boxes, open {opened:.2f} s, paint {paint:.1f} ms, search {search:.0f} ms",
                  file=sys.stderr)
            # Generous, because the machine may be busy.
            self.assertLess(opened, 10)
            self.assertLess(paint, 100)
            self.assertLess(search, 1000)

    def test_deep_stacks_scroll(self):
        self.open("deep.html", "#zoom=4000")
        self.assertIn("recurse 3999", {box["name"] for box in self.boxes()})
        self.assertLess(self.page.evaluate("document.querySelector('canvas').height"), 1000)

    def test_nothing_to_show(self):
        self.open("empty.html")
        self.page.click(400, 700)
        self.page.key("/", text="/")
        self.page.type("a")
        self.settle()
        self.assertEqual(self.text("#apus-found"), "0 frames, 0%")

    def test_dark(self):
        self.page.resize(1280, 800, dark=True)
        self.open("server.html", "#search=tcp")
        background = self.page.evaluate("getComputedStyle(document.body).backgroundColor")
        self.assertEqual(background, "rgb(22, 24, 29)")


def main():
    global folder, screenshots, browser
    with tempfile.TemporaryDirectory(prefix="flame-graphs-") as made:
        folder = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else made
        screenshots = sys.argv[2] if len(sys.argv) > 2 else None
        if folder == made:
            root = pathlib.Path(__file__).resolve().parents[2]
            subprocess.run(["swift", "test", "--filter", "writesWhatTheBrowserLooksAt"], cwd=root, check=True,
                           env={**os.environ, "FLAME_GRAPH_FOLDER": folder}, stdout=subprocess.DEVNULL)
        with Browser() as running:
            browser = running
            result = unittest.main(argv=sys.argv[:1], exit=False).result
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
