// SPDX-License-Identifier: Apache-2.0

extension FlameScript {
    /// The boxes as columns of numbers, and the search. No part of it touches the page.
    static let model: StaticString = #"""
        const data = JSON.parse(document.getElementById("apus-data").textContent);
        const isComparison = Boolean(data.compared);
        const stride = isComparison ? 6 : 4;
        const count = data.boxes.length / stride;
        const label = new Int32Array(count);
        const parent = new Int32Array(count);
        const depth = new Int32Array(count);
        const detail = new Int32Array(count);
        const end = new Int32Array(count);       // the first box that is not above this one
        const deepest = new Int32Array(count);   // the highest level above this one
        const own = new Float64Array(count);
        const total = new Float64Array(count);
        const start = new Float64Array(count);   // the sum of what is to the left
        const other = new Float64Array(count);
        const colourStep = new Int8Array(count);

        function readBoxes(numbers) {
          const open = [];
          for (let box = 0, at = 0; box < count; box++, at += stride) {
            for (let downs = numbers[at + 1]; downs > 0; downs--) end[open.pop()] = box;
            label[box] = numbers[at];
            own[box] = numbers[at + 2];
            detail[box] = numbers[at + 3];
            if (isComparison) {
              other[box] = numbers[at + 4];
              colourStep[box] = numbers[at + 5];
            }
            parent[box] = open.length > 0 ? open[open.length - 1] : -1;
            depth[box] = open.length;
            open.push(box);
          }
          while (open.length > 0) end[open.pop()] = count;
        }

        function addUp() {
          for (let box = count - 1; box >= 0; box--) {
            total[box] += own[box];
            deepest[box] = Math.max(deepest[box], depth[box]);
            if (parent[box] < 0) continue;
            total[parent[box]] += total[box];
            deepest[parent[box]] = Math.max(deepest[parent[box]], deepest[box]);
          }
          const next = new Float64Array(count);
          for (let box = 0; box < count; box++) {
            if (parent[box] >= 0) {
              start[box] = next[parent[box]];
              next[parent[box]] += total[box];
            }
            next[box] = start[box];
          }
        }

        readBoxes(data.boxes);
        data.boxes = null;
        addUp();

        // Upper case in the expression makes it mean what it says; else "malloc" finds Malloc too.
        function compile(text) {
          const flags = /(^|[^\\])[A-Z]/.test(text) ? "" : "i";
          try {
            return { expression: new RegExp(text, flags), isValid: true };
          } catch (error) {
            const literal = text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
            return { expression: new RegExp(literal, flags), isValid: false };
          }
        }

        // What a search finds: which labels, and how many boxes there are before each box (so that a difference
        // tells whether anything above a box was found).
        function find(text) {
          const { expression, isValid } = compile(text);
          const isFound = new Uint8Array(data.labels.length);
          for (let index = 0; index < isFound.length; index++) {
            isFound[index] = expression.test(data.labels[index]) ? 1 : 0;
          }
          isFound[label[0]] = 0;
          const before = new Int32Array(count + 1);
          for (let box = 0; box < count; box++) before[box + 1] = before[box] + isFound[label[box]];
          return { isFound, before, isValid, text };
        }

        // The value of the boxes found inside a box, each sample once.
        function foundValue(search, box) {
          for (let at = box; at >= 0; at = parent[at]) {
            if (search.isFound[label[at]]) return total[box];
          }
          let sum = 0;
          for (let at = box; at < end[box];) {
            if (search.before[end[at]] === search.before[at]) {
              at = end[at];
            } else if (search.isFound[label[at]]) {
              sum += total[at];
              at = end[at];
            } else {
              at++;
            }
          }
          return sum;
        }
        """#

    /// Numbers and boxes as words.
    static let text: StaticString = #"""
        const scales = {
          nanoseconds: [1000, ["ns", "\u00b5s", "ms", "s"]],
          microseconds: [1000, ["\u00b5s", "ms", "s"]],
          milliseconds: [1000, ["ms", "s"]],
          bytes: [1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]],
        };

        function groupedText(value) { return Math.round(value).toLocaleString("en-US"); }

        function valueText(value) {
          const scale = Object.hasOwn(scales, data.unit) ? scales[data.unit] : null;
          if (!scale) return groupedText(value) + " " + (data.unit === "count" ? data.name : data.unit);
          let index = 0;
          while (index + 1 < scale[1].length && value >= scale[0] - 0.5) {
            value /= scale[0];
            index++;
          }
          const decimals = index === 0 ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
          return (value >= 1000 ? groupedText(value) : value.toFixed(decimals)) + " " + scale[1][index];
        }

        function shareText(value, whole) { return whole > 0 ? (100 * value / whole).toFixed(2) + "%" : "0%"; }

        function changeText(change) {
          return (change < 0 ? "\u2212" : "+") + valueText(Math.abs(change));
        }

        function nameOf(box) { return data.labels[label[box]]; }
        function kindOf(box) { return data.looks[label[box]] >> 5; }

        // What is known about a box: pairs of a term and a text.
        function facts(box) {
          const list = [];
          const at = detail[box] * 3;
          if (at >= 0 && data.details[at] >= 0) list.push(["module", data.strings[data.details[at]]]);
          if (at >= 0 && data.details[at + 1] >= 0) {
            const line = data.details[at + 2];
            list.push(["source", data.strings[data.details[at + 1]] + (line > 0 ? ":" + line : "")]);
          }
          list.push(["value", valueText(total[box])]);
          list.push(["of total", shareText(total[box], total[0])]);
          if (parent[box] >= 0) list.push(["of parent", shareText(total[box], total[parent[box]])]);
          if (own[box] > 0 && box > 0) {
            list.push(["self", valueText(own[box]) + " (" + shareText(own[box], total[0]) + ")"]);
          }
          if (isComparison) list.push(...comparisonFacts(box));
          return list;
        }

        function comparisonFacts(box) {
          const before = data.widthIsAfter ? other[box] : total[box];
          const after = data.widthIsAfter ? total[box] : other[box];
          let change = changeText(after - before);
          if (before > 0) {
            const share = 100 * (after - before) / before;
            change += " (" + (share < 0 ? "\u2212" : "+") + Math.abs(share).toFixed(1) + "%)";
          } else {
            change += " (new)";
          }
          return [[data.compared[0], valueText(before)], [data.compared[1], valueText(after)], ["change", change]];
        }

        function summary(box) {
          return nameOf(box) + ": " + facts(box).map((fact) => fact[0] + " " + fact[1]).join(", ");
        }
        """#
}
