// SPDX-License-Identifier: Apache-2.0

extension FlameScript {
    /// What happens on clicks and keys.
    static let controls: StaticString = #"""
        const painter = new Painter(canvas, view);
        const hint = "Click a frame to zoom. / or Ctrl-F searches, Esc clears.";
        let isPaintDue = false;
        let animation = null;

        function repaint() {
          if (isPaintDue) return;
          isPaintDue = true;
          window.requestAnimationFrame((now) => {
            isPaintDue = false;
            if (animation) animate(now);
            painter.paint();
            if (!animation) showNotes();
          });
        }

        function animate(now) {
          const part = Math.min(1, (now - animation.begun) / 180);
          const eased = 1 - Math.pow(1 - part, 3);
          shown.from = animation.from[0] + (animation.to[0] - animation.from[0]) * eased;
          shown.to = animation.from[1] + (animation.to[1] - animation.from[1]) * eased;
          if (part < 1) {
            window.setTimeout(repaint, 0);
          } else {
            [shown.from, shown.to] = animation.to;
            animation = null;
          }
        }

        function fitSpacer() {
          const atRoot = view.scrollTop + view.clientHeight >= spacer.clientHeight - 2;
          spacer.style.height = (deepest[shown.focus] + 1) * rowHeight + 2 + "px";
          if (!shown.rootOnTop && atRoot) view.scrollTop = view.scrollHeight;
        }

        function zoom(box) {
          shown.focus = box;
          const to = [start[box], start[box] + (total[box] || 1)];
          if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
            [shown.from, shown.to] = to;
          } else {
            animation = { from: [shown.from, shown.to], to, begun: performance.now() };
          }
          reset.disabled = box === 0;
          hideTip();
          fitSpacer();
          reveal(box);
          fillCrumbs();
          showFound();
          remember();
          repaint();
        }

        function search(text) {
          shown.search = text === "" ? null : find(text);
          showFound();
          remember();
          repaint();
        }

        // The address says what is shown, so that it can be sent to somebody.
        function remember() {
          const parts = [];
          if (shown.focus > 0) parts.push("zoom=" + shown.focus);
          if (shown.search) parts.push("search=" + encodeURIComponent(shown.search.text));
          try {
            window.history.replaceState(null, "", parts.length > 0 ? "#" + parts.join("&") : "#");
          } catch (error) {
            // A page without an address of its own has no history.
          }
        }

        function recall() {
          const wanted = new URLSearchParams(window.location.hash.slice(1));
          const box = Number(wanted.get("zoom") || 0);
          input.value = wanted.get("search") || "";
          search(input.value);
          zoom(Number.isInteger(box) && box > 0 && box < count ? box : 0);
        }

        function hideTip() {
          tip.hidden = true;
          shown.hovered = -1;
          status.textContent = hint;
        }

        function hover(event) {
          const area = canvas.getBoundingClientRect();
          const box = painter.boxAt(event.clientX - area.left, event.clientY - area.top);
          canvas.style.cursor = box < 0 ? "default" : "pointer";
          if (box !== shown.hovered) {
            shown.hovered = box;
            tip.hidden = box < 0;
            if (box >= 0) fillTip(box);
            status.textContent = box < 0 ? hint : summary(box);
            repaint();
          }
          if (box >= 0) placeTip(event.clientX, event.clientY);
        }

        function reveal(box) {
          const top = rowTop(depth[box], contentHeight(view.clientHeight), 0);
          if (top < view.scrollTop) view.scrollTop = top - rowHeight * 3;
          if (top + rowHeight > view.scrollTop + view.clientHeight) {
            view.scrollTop = top + rowHeight * 4 - view.clientHeight;
          }
        }

        function choose(box) {
          if (box < 0) return;
          shown.chosen = box;
          reveal(box);
          live.textContent = status.textContent = summary(box);
          repaint();
        }

        function sibling(box, step) {
          if (parent[box] < 0) return -1;
          if (step > 0) return end[box] < end[parent[box]] ? end[box] : -1;
          let before = -1;
          for (let at = parent[box] + 1; at < box; at = end[at]) before = at;
          return before;
        }

        const awayFromRoot = () => shown.rootOnTop ? "ArrowDown" : "ArrowUp";

        function canvasKey(event) {
          const box = shown.chosen >= 0 ? shown.chosen : shown.focus;
          switch (event.key) {
            case "ArrowLeft": choose(sibling(box, -1)); break;
            case "ArrowRight": choose(sibling(box, 1)); break;
            case "ArrowUp":
            case "ArrowDown":
              choose(event.key !== awayFromRoot() ? parent[box] : box + 1 < end[box] ? box + 1 : -1);
              break;
            case "Enter":
            case " ": zoom(box); break;
            case "Backspace": zoom(Math.max(0, parent[shown.focus])); break;
            case "Home": zoom(0); break;
            default: return;
          }
          event.preventDefault();
        }

        // A second Ctrl-F reaches the browser's own search.
        function pageKey(event) {
          const isTyping = document.activeElement === input;
          const isFind = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f";
          if (!isTyping && (isFind || (event.key === "/" && !event.ctrlKey && !event.altKey))) {
            event.preventDefault();
            input.focus();
            input.select();
          } else if (event.key === "Escape") {
            event.preventDefault();
            escape();
          }
        }

        // First the search, then the zoom.
        function escape() {
          hideTip();
          if (input.value !== "") {
            input.value = "";
            search("");
          } else if (document.activeElement === input) {
            input.blur();
          } else {
            zoom(0);
          }
          repaint();
        }

        canvas.addEventListener("pointermove", hover);
        canvas.addEventListener("pointerleave", () => { hideTip(); repaint(); });
        canvas.addEventListener("click", (event) => {
          const area = canvas.getBoundingClientRect();
          const box = painter.boxAt(event.clientX - area.left, event.clientY - area.top);
          if (box < 0) return;
          shown.chosen = -1;
          zoom(box);
        });
        canvas.addEventListener("keydown", canvasKey);
        canvas.addEventListener("focus", () => {
          if (canvas.matches(":focus-visible")) choose(shown.chosen >= 0 ? shown.chosen : shown.focus);
        });
        canvas.addEventListener("blur", () => { shown.chosen = -1; repaint(); });
        document.addEventListener("keydown", pageKey);
        input.addEventListener("input", () => search(input.value));
        clear.addEventListener("click", () => { input.value = ""; search(""); input.focus(); });
        reset.addEventListener("click", () => zoom(0));
        flip.addEventListener("click", () => {
          shown.rootOnTop = !shown.rootOnTop;
          view.scrollTop = shown.rootOnTop ? 0 : view.scrollHeight;
          repaint();
        });
        view.addEventListener("scroll", repaint, { passive: true });
        window.addEventListener("hashchange", recall);
        new ResizeObserver(() => { fitSpacer(); repaint(); }).observe(view);
        painter.dark.addEventListener("change", (event) => { fillLegend(legend, event.matches); repaint(); });

        fillLegend(legend, painter.dark.matches);
        recall();
        // For tests and for scripts of users.
        window.apusFlameGraph = Object.freeze({
          boxes: () => painted.map((place) => ({
            ...place, name: nameOf(place.box), depth: depth[place.box], total: total[place.box] })),
          find: (name) => label.findIndex((index) => data.labels[index] === name),
          zoom, count, total: (box) => total[box], own: (box) => own[box],
          state: () => ({ focus: shown.focus, from: shown.from, to: shown.to, isMoving: animation !== null }),
          paint: () => painter.paint(),
        });
        """#
}
