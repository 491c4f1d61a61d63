// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Reporting
import Symbolization
import Testing

@testable import Commands

@Suite struct StackSumsTests {
    private static func frame(_ function: String, at address: UInt64 = 0) -> Frame {
        Frame(kind: .user, function: function, module: "/bin/x", moduleOffset: address, address: address)
    }

    private struct Made {
        var sums = StackSums(width: 1)

        mutating func stack(_ parts: [StackSums.Part]) -> Int32 {
            var stack: Int32 = -1
            for part in parts { stack = sums.stack(stack, sums.number(part)) }
            return stack
        }

        mutating func task(_ process: Int32, started: UInt64 = 1, _ mapped: [StackSums.Bias] = []) -> Int32 {
            let kind = sums.number(StackSums.Kind(comm: "x"))
            return sums.number(
                StackSums.Task(process: process, thread: process, started: started, kind: kind), mapped)
        }
    }

    @Test func stacksOfManyProcessesAreOne() {
        var made = Made()
        let parts = [Self.frame("main"), Self.frame("work")].map { StackSums.Part(frames: [$0]) }
        for process in Int32(1)...1000 {
            let stack = made.stack(parts)
            made.sums.add(stack: stack, task: made.task(process), [2])
            made.sums.add(stack: stack, task: made.task(process), [3])
        }
        #expect(made.sums.rows.count == 1000)
        #expect(made.sums.stacks.count == 2)
        #expect(made.sums.parts.count == 2)
        #expect((0..<1000).allSatisfy { made.sums.values(ofRow: $0) == [5] })
        let frames = made.sums.frames(of: made.sums.rows.firsts[0], in: 0, [])
        #expect(frames.map(\.function) == ["work", "main"])
    }

    @Test func processesOfOneNumberStayApart() {
        var made = Made()
        let stack = made.stack([StackSums.Part(frames: [Self.frame("main")])])
        for started: UInt64 in [7, 8] {
            made.sums.add(stack: stack, task: made.task(5, started: started), [1])
        }
        #expect(made.sums.rows.count == 2)
    }

    /// The same code of two processes, and of one that has loaded a library twice, in different places.
    @Test func addressesAreThoseOfEachProcess() {
        var made = Made()
        let stack = made.stack([StackSums.Part(frames: [Self.frame("f", at: 0x10)], file: 3)])
        let biases: [(process: Int32, bias: UInt64)] = [(1, 0x1000), (2, 0x2000), (1, 0x5000), (1, 0x1000)]
        for (process, bias) in biases {
            let task = made.task(process, [StackSums.Bias(file: 3, bytes: bias)])
            made.sums.add(stack: stack, task: task, [1])
            #expect(made.sums.frames(of: stack, in: task, []).map(\.address) == [bias + 0x10])
        }
        #expect(made.sums.rows.count == 3)
        #expect(StackLooks(made.sums, .init(valueTypes: [.samples], title: ""), []).merged().count == 2)
    }

    @Test func whatLooksTheSameIsOneRow() {
        var made = Made()
        let task = made.task(1)
        let end = StackSums.Part(end: StackEnd(UInt8(STACK_END_ROOT.rawValue)))
        for (address, value): (UInt64, UInt64) in [(0x10, 1), (0x20, 2), (0x30, 4)] {
            let stack = made.stack([end, StackSums.Part(frames: [Self.frame("f", at: address)])])
            made.sums.add(stack: stack, task: task, [value])
            #expect(made.sums.end(of: stack).isRoot)
        }
        var style = StackReport.Style(valueTypes: [.samples], title: "")
        let rows = StackLooks(made.sums, style, []).merged()
        #expect(rows.map(\.values) == [[7]])
        style.addresses = true
        #expect(StackLooks(made.sums, style, []).merged().map(\.values) == [[1], [2], [4]])
    }

    @Test func numbersAreKept() {
        var numbering = Numbering<String>()
        for round in 0..<2 {
            for index in 0..<5000 {
                #expect(numbering.number("\(index)") == Int32(index), "round \(round)")
            }
        }
        #expect(numbering.count == 5000)
        #expect(numbering[4321] == "4321")
        #expect(numbering.known("17") == 17)
        #expect(numbering.known("5000") == nil)
    }
}
