// SPDX-License-Identifier: Apache-2.0
import Glibc
import TestSupport
import Testing

@testable import Reporting

@Suite struct FlameTextTests {
    @Test(
        arguments: [
            (0, "0 ns"), (999, "999 ns"), (1000, "1.00 µs"), (12_345, "12.3 µs"), (999_999, "1.00 ms"),
            (999_400, "999 µs"),
            (1_250_000, "1.25 ms"), (3_940_000_000, "3.94 s"), (4_000_000_000_000, "4,000 s"),
        ] as [(UInt64, String)])
    func timeHasAReadableUnit(value: UInt64, text: String) {
        #expect(Profile.ValueType(name: "cpu", unit: "nanoseconds").text(value) == text)
    }

    @Test(
        arguments: [
            (0, "0 B"), (1023, "1,023 B"), ((1 << 20) - 100, "1.00 MiB"), (1024, "1.00 KiB"),
            (64_593_920, "61.6 MiB"), (1 << 40, "1.00 TiB"),
        ] as [(UInt64, String)])
    func bytesHaveBinaryUnits(value: UInt64, text: String) {
        #expect(Profile.ValueType(name: "x", unit: "bytes").text(value) == text)
    }

    @Test func otherUnitsAreShownAsTheyAre() {
        #expect(Profile.ValueType.samples.text(1_234_567) == "1,234,567 samples")
        #expect(Profile.ValueType(name: "energy", unit: "joules").text(12) == "12 joules")
        #expect(shareText(1, of: 3) == "33.33%")
        #expect(shareText(1, of: 0) == "0%")
    }
}

@Suite struct FlameGraphFileTests {
    private func files(_ graph: FlameGraph) -> [String] {
        let (html, svg) = (ByteWriter(), ByteWriter())
        graph.writeHTML(to: html)
        graph.writeSVG(to: svg)
        return [html.text, svg.text]
    }

    private func occurrences(of part: String, in text: String) -> Int {
        var (found, rest) = (0, Substring(text))
        while let next = rest.firstRange(of: part) {
            found += 1
            rest = rest[next.upperBound...]
        }
        return found
    }

    @Test func hostileNamesAddNoMarkup() {
        var options = FlameGraph.Options()
        let plain = files(FlameGraph(Profile(), options))
        options.title = ExampleProfiles.hostileNames.joined()
        options.subtitle = options.title
        let hostile = files(FlameGraph(ExampleProfiles.hostile(), options))
        for (before, after) in zip(plain, hostile) {
            for mark in ["<script", "</script", "<!--", "<style", "<img", "<svg", "]]>", "<![CDATA["] {
                #expect(occurrences(of: mark, in: after) == occurrences(of: mark, in: before), "\(mark)")
            }
            #expect(after.utf8.allSatisfy { $0 < 0x80 && ($0 >= 0x20 || $0 == 0x0a) })
        }
    }

    @Test func nothingIsFetched() {
        for text in files(FlameGraph(ExampleProfiles.server())) {
            // Names of namespaces are not addresses.
            let rest = text.split(separator: "http://www.w3.org/").joined()
            for word in [
                "http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "XMLHttp", "import(",
            ] {
                #expect(!rest.contains(word), "\(word)")
            }
        }
    }

    @Test func theScriptFitsBothKindsOfFile() {
        let writer = ByteWriter()
        FlameScript.write(to: writer)
        #expect(!writer.text.contains("]]>") && !writer.text.contains("</") && !writer.text.contains("<!--"))
        #expect(writer.text.utf8.allSatisfy { $0 < 0x80 })
    }

    @Test func thePictureSaysWhatItLeavesOut() {
        var options = FlameGraph.Options()
        options.minimumShare = 0.05
        let text = files(FlameGraph(ExampleProfiles.server(), options))[1]
        #expect(text.contains("narrow frames merged into grey boxes ("))
    }

    /// For Tests/Browser/flamegraph_browser_test.py, which says where.
    @Test(
        .require(
            Requirement(
                "this is a part of Tests/Browser/flamegraph_browser_test.py", isExpected: false,
                isMet: getenv("FLAME_GRAPH_FOLDER") != nil)))
    func writesWhatTheBrowserLooksAt() throws {
        writeFlameGraphFiles(to: String(cString: try #require(getenv("FLAME_GRAPH_FOLDER"))))
    }
}
