// SPDX-License-Identifier: Apache-2.0

extension FlameScript {
    /// Draws what is visible of the boxes, and finds the box under a point.
    static let painter: StaticString = #"""
        const rowHeight = 18;
        const narrowest = 0.5;   // pixels; narrower neighbours are drawn as one grey box
        const font = '12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace';

        // What is shown: the range of values from left to right, the box zoomed to, and so on.
        const shown = {
          from: 0, to: total[0] || 1, focus: 0, hovered: -1, chosen: -1, search: null, rootOnTop: data.icicle,
        };
        let painted = [];
        let tooNarrow = 0;

        function theme(isDark) {
          return {
            colours: isDark ? data.dark : data.light,
            steps: isDark ? data.darkSteps : data.lightSteps,
            text: isDark ? "#101216" : "#1a1c20",
            found: isDark ? "#c25be8" : "#b32ee0",
            foundText: "#ffffff",
            narrow: isDark ? "#4a4e57" : "#c6c9d1",
            outline: isDark ? "#ffffff" : "#101216",
          };
        }

        function contentHeight(viewHeight) {
          return Math.max((deepest[shown.focus] + 1) * rowHeight + 2, viewHeight);
        }

        function rowTop(level, height, scrolled) {
          return (shown.rootOnTop ? level * rowHeight : height - (level + 1) * rowHeight) - scrolled;
        }

        function isAncestor(box, of) { return box < of && of < end[box]; }

        class Painter {
          constructor(canvas, view) {
            this.canvas = canvas;
            this.view = view;
            this.context = canvas.getContext("2d");
            this.context.font = font;
            this.characterWidth = this.context.measureText("m".repeat(40)).width / 40;
            this.dark = window.matchMedia("(prefers-color-scheme: dark)");
          }

          fit() {
            const ratio = window.devicePixelRatio || 1;
            this.width = this.view.clientWidth;
            this.height = this.view.clientHeight;
            const width = Math.round(this.width * ratio);
            const height = Math.round(this.height * ratio);
            if (this.canvas.width !== width || this.canvas.height !== height) {
              this.canvas.width = width;
              this.canvas.height = height;
              this.canvas.style.width = this.width + "px";
              this.canvas.style.height = this.height + "px";
            }
            this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
          }

          paint() {
            this.fit();
            this.theme = theme(this.dark.matches);
            const context = this.context;
            context.clearRect(0, 0, this.width, this.height);
            context.font = font;
            context.textBaseline = "middle";
            this.content = contentHeight(this.height);
            this.scrolled = this.view.scrollTop;
            this.scale = this.width / (shown.to - shown.from);
            this.runs = [];
            painted = [];
            tooNarrow = 0;
            for (let box = 0; box < count;) {
              const left = (start[box] - shown.from) * this.scale;
              const right = left + total[box] * this.scale;
              if (right <= 0 || left >= this.width) {
                box = end[box];
              } else if (right - left < narrowest) {
                this.addNarrow(box, left, right);
                box = end[box];
              } else {
                this.paintBox(box, Math.max(0, left), Math.min(this.width, right));
                box++;
              }
            }
            for (let level = 0; level < this.runs.length; level++) this.endRun(level);
            context.globalAlpha = 1;
            if (total[0] === 0) this.sayEmpty();
            this.outline(shown.hovered, 1);
            this.outline(shown.chosen, 2);
          }

          sayEmpty() {
            this.context.fillStyle = this.dark.matches ? "#9aa1ad" : "#626874";
            this.context.fillText("This profile has no samples.", 3, this.height / 2);
          }

          isVisible(top) { return top > -rowHeight && top < this.height; }

          paintBox(box, left, right) {
            const top = rowTop(depth[box], this.content, this.scrolled);
            if (!this.isVisible(top)) return;
            const context = this.context;
            const width = right - left;
            const isFound = shown.search !== null && shown.search.isFound[label[box]] === 1;
            context.globalAlpha = isAncestor(box, shown.focus) ? 0.55 : shown.search && !isFound ? 0.42 : 1;
            context.fillStyle = isFound ? this.theme.found : this.colour(box);
            // The gap between neighbours must not swallow narrow ones.
            context.fillRect(left, top, width > 3 ? width - 0.75 : width, rowHeight - 1);
            painted.push({ box, left, top, width });
            const room = Math.floor((width - 6) / this.characterWidth);
            if (room < 3) return;
            if (!isFound && context.globalAlpha < 1) context.globalAlpha = 0.8;
            context.fillStyle = isFound ? this.theme.foundText : this.textColour(context.globalAlpha);
            context.fillText(fitted(nameOf(box), room), left + 3, top + rowHeight / 2);
          }

          // On boxes that are nearly the page's colour, the page's text colour is the readable one.
          textColour(alpha) {
            return this.dark.matches && alpha < 1 ? "#d9dbe1" : this.theme.text;
          }

          colour(box) {
            if (isComparison && box > 0) return this.theme.steps[colourStep[box]];
            return this.theme.colours[data.looks[label[box]]];
          }

          // Neighbours that are too narrow become one grey box: empty space would say that nothing is there.
          addNarrow(box, left, right) {
            tooNarrow += end[box] - box;
            const found = shown.search !== null && shown.search.before[end[box]] > shown.search.before[box];
            let run = this.runs[depth[box]];
            if (run && left - run.right < 0.25) {
              run.right = right;
              run.found = run.found || found;
              return;
            }
            this.endRun(depth[box]);
            this.runs[depth[box]] = { left, right, found };
          }

          endRun(level) {
            const run = this.runs[level];
            if (!run) return;
            this.runs[level] = undefined;
            const top = rowTop(level, this.content, this.scrolled);
            if (run.right - run.left < 0.3 || !this.isVisible(top)) return;
            this.context.globalAlpha = shown.search && !run.found ? 0.42 : 1;
            this.context.fillStyle = run.found ? this.theme.found : this.theme.narrow;
            this.context.fillRect(run.left, top, run.right - run.left, rowHeight - 1);
          }

          outline(box, thickness) {
            const place = box < 0 ? undefined : painted.find((one) => one.box === box);
            if (!place) return;
            this.context.strokeStyle = this.theme.outline;
            this.context.lineWidth = thickness;
            const inset = thickness / 2;
            this.context.strokeRect(
              place.left + inset, place.top + inset, Math.max(1, place.width - 0.75 - thickness),
              rowHeight - 1 - thickness);
          }

          // The box under a point of the canvas, -1 if there is none.
          boxAt(x, y) {
            const content = contentHeight(this.height);
            const down = y + this.view.scrollTop;
            const level = Math.floor((shown.rootOnTop ? down : content - down) / rowHeight);
            const value = shown.from + x / this.width * (shown.to - shown.from);
            if (level < 0 || value < 0 || value >= total[0]) return -1;
            let box = 0;
            while (depth[box] < level) {
              let child = box + 1;
              while (child < end[box] && start[child] + total[child] <= value) child = end[child];
              if (child >= end[box]) return -1;
              box = child;
            }
            return box;
          }
        }

        // As much of the text as has room, counting East Asian characters as two, without measuring anything.
        function fitted(text, room) {
          if (/^[\x20-\x7e]*$/.test(text)) {
            return text.length <= room ? text : text.slice(0, room - 1) + "\u2026";
          }
          let used = 0;
          let result = "";
          for (const character of text) {
            const cells = character.codePointAt(0) < 0x1100 ? 1 : 2;
            if (used + cells > room - 1 && result.length + character.length < text.length) {
              return result + "\u2026";
            }
            used += cells;
            result += character;
          }
          return result;
        }
        """#
}
