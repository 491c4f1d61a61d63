// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestSupport
import Testing

extension EndToEnd {
    /// A process with nearly as many executable mappings as the kernel allows (vm.max_map_count is 65530).
    @Suite struct ManyMappingsTests {
        /// Each function calls the one that is seven further in the file, from one mapping into another.
        @Test(arguments: [20_000, 60_000])
        func everyFrameIsNamed(count: Int) throws {
            let program = try Harness.program("mappings", options: ["-g"])
            let output = try Scratch()
            let target = try Child(
                [program, "run", "\(count)", "100"], Child.Streams(output: output.descriptor))
            defer { target.send(SIGKILL) }
            try eventually("the mappings", by: [target]) {
                String(decoding: try output.contents(), as: UTF8.self).contains("ready")
            }
            let stacks = try Stack.all(
                try finished([
                    "profile", "--json", "-U", "-F", "199", "--duration", "4", "-p", "\(target.pid)",
                ]))
            let whole = stacks.filter { $0.userStackEnd == "root" && $0.has("run") }
            #expect(samples(whole) > 20)
            #expect(Double(samples(whole)) >= 0.95 * Double(samples(stacks)), "\(stacks.map(\.userStackEnd))")
            for stack in whole {
                let pages = stack.frames.compactMap(page)
                #expect(pages.count <= 2, "\(stack.frames)")
                if pages.count == 2 { #expect(pages[0] == (pages[1] + 7) % 256, "\(stack.frames)") }
            }
            #expect(whole.contains { $0.frames.compactMap(page).count == 2 })
        }

        private func finished(_ words: [String]) throws -> String {
            let result = try Finished([Harness.apus] + words, patience: 90)
            try #require(result.end == .exited(0), "\(result.errors)")
            #expect(!result.errors.contains("no room"), "\(result.errors)")
            return result.text
        }

        private func samples(_ stacks: [Stack]) -> Int { stacks.reduce(0) { $0 + ($1.samples ?? 0) } }

        private func page(_ frame: Stack.Frame) -> Int? {
            guard let name = frame.function, name.hasPrefix("page_") else { return nil }
            return Int(name.dropFirst(5), radix: 16)
        }
    }
}
