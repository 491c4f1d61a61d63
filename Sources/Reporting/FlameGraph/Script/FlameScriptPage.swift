// SPDX-License-Identifier: Apache-2.0

extension FlameScript {
    /// Builds the page. Foreign text enters it as text nodes only.
    static let page: StaticString = #"""
        function make(tag, attributes, ...children) {
          const element = document.createElementNS("http://www.w3.org/1999/xhtml", tag);
          for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
          element.append(...children);
          return element;
        }

        // An .svg file becomes a page: its picture makes way for the same elements that the .html file has.
        function body() {
          if (document.body && document.documentElement.localName === "html") return document.body;
          const style = make("style", {}, document.getElementById("apus-style").textContent);
          const head = make("head", {}, make("title", {}, data.title), style);
          const content = make("body", {});
          document.replaceChild(make("html", { lang: "en" }, head, content), document.documentElement);
          return content;
        }

        function swatch(colour, name) {
          const colourBox = make("span", { class: "swatch", "aria-hidden": "true" });
          colourBox.style.background = colour;
          return make("li", {}, colourBox, name);
        }

        function fillLegend(list, isDark) {
          const { colours, steps } = theme(isDark);
          if (isComparison) {
            const last = steps.length - 1;
            list.replaceChildren(
              swatch(steps[0], "shrank"), swatch(steps[last / 2], "same"), swatch(steps[last], "grew"));
            return;
          }
          const used = new Set();
          for (let box = 0; box < count; box++) used.add(kindOf(box));
          list.replaceChildren(
            ...data.kinds.flatMap((name, kind) => used.has(kind) ? [swatch(colours[kind * 32 + 15], name)] : []));
        }

        const subtitle = (data.subtitle ? data.subtitle + " \u00b7 " : "") + valueText(total[0]);
        const input = make("input", {
          id: "apus-search", type: "search", placeholder: "Search (regex)", autocomplete: "off", spellcheck: "false",
          "aria-label": "Search frames by regular expression", "aria-describedby": "apus-found",
          title: "Regular expression; upper case letters make it case sensitive ( / or Ctrl-F )",
        });
        const found = make("output", { id: "apus-found", class: "found", role: "status", for: "apus-search" });
        const clear = make("button", { type: "button", title: "Clear the search (Esc)" }, "Clear");
        const reset = make("button", { type: "button", title: "Show everything (Home)" }, "Reset zoom");
        const flip = make("button", { type: "button", title: "Root at the other end" }, "Flip");
        const crumbs = make("nav", { class: "crumbs", "aria-label": "Zoomed into" });
        const canvas = make("canvas", {
          tabindex: "0", role: "application", "aria-roledescription": "flame graph",
          "aria-label": data.title + ". Arrow keys move between frames, Enter zooms, Backspace zooms out.",
          "aria-describedby": "apus-live",
        });
        const spacer = make("div", { class: "spacer" }, canvas);
        const view = make("main", { class: "view" }, spacer);
        const legend = make("ul", { class: "legend", "aria-label": "Colours" });
        const status = make("p", { class: "status" });
        const notes = make("p", { class: "notes" });
        const live = make("p", { id: "apus-live", class: "unseen", "aria-live": "polite" });
        const tip = make("div", { class: "tip", role: "tooltip" });
        tip.hidden = true;

        body().append(
          make("header", {},
            make("div", { class: "heading" }, make("h1", { title: data.title }, data.title), make("p", { title: subtitle }, subtitle)),
            make("div", { class: "tools", role: "search" }, input, found, clear, reset, flip)),
          crumbs, view,
          make("footer", {}, legend, status, notes),
          live, tip);

        function fillTip(box) {
          const list = make("dl", {});
          for (const [term, text] of facts(box)) list.append(make("dt", {}, term), make("dd", {}, text));
          const name = nameOf(box);
          tip.replaceChildren(
            make("strong", {}, name.length > 600 ? name.slice(0, 600) + "\u2026" : name), list);
        }

        // Beside the pointer, on the side that has room.
        function placeTip(x, y) {
          const width = tip.offsetWidth;
          const height = tip.offsetHeight;
          const right = x + 14 + width > window.innerWidth - 6 ? Math.max(6, x - 14 - width) : x + 14;
          const below = y + 18 + height > window.innerHeight - 6 ? Math.max(6, y - 12 - height) : y + 18;
          tip.style.transform = "translate(" + right + "px," + below + "px)";
        }

        function crumb(box, isLast) {
          const button = make("button", { type: "button", title: summary(box) }, nameOf(box));
          if (isLast) button.setAttribute("aria-current", "location");
          button.addEventListener("click", () => zoom(box));
          return button;
        }

        // From the whole to what is zoomed to; of many, the first and the nearest.
        function fillCrumbs() {
          const path = [];
          for (let box = shown.focus; box >= 0; box = parent[box]) path.unshift(box);
          const nearest = path.length > 12 ? path.slice(-10) : path.slice(1);
          const parts = [crumb(0, path.length === 1)];
          if (path.length > 12) parts.push(make("span", {}, "\u2026 " + groupedText(path.length - 11) + " more"));
          for (const box of nearest) parts.push(crumb(box, box === shown.focus));
          crumbs.replaceChildren(...parts);
          crumbs.scrollLeft = crumbs.scrollWidth;
        }

        function showFound() {
          const search = shown.search;
          clear.hidden = search === null;
          input.setAttribute("aria-invalid", String(search !== null && !search.isValid));
          if (search === null) {
            found.textContent = "";
            return;
          }
          let text = groupedText(search.before[count]) + (search.before[count] === 1 ? " frame, " : " frames, ");
          text += shareText(foundValue(search, 0), total[0]);
          if (shown.focus > 0) {
            text += " (" + shareText(foundValue(search, shown.focus), total[shown.focus]) + " of the zoomed)";
          }
          found.textContent = (search.isValid ? "" : "not a regex, found as text: ") + text;
        }

        function showNotes() {
          const list = [...data.notes];
          if (total[0] === 0) list.push("no samples");
          if (tooNarrow > 0) list.push(groupedText(tooNarrow) + " frames too narrow at this zoom");
          notes.textContent = list.join(" \u00b7 ");
        }
        """#
}
