// SPDX-License-Identifier: Apache-2.0
internal import Symbolization

/// Stacks with names. What an address stands for is kept once: a hundred thousand stacks share most of it.
struct NamedStacks {
    /// What an address, or the end of a stack, stands for: a function and those inlined there, the innermost first.
    struct Part: Hashable {
        fileprivate let number: Int32
    }

    private var named: [[Frame]] = []
    private var stacks: [UInt64: [Part]] = [:]

    mutating func add(part frames: [Frame]) -> Part {
        named.append(frames)
        return Part(number: Int32(named.count - 1))
    }

    /// - Parameter parts: the leaf first.
    mutating func add(_ stack: UInt64, _ parts: [Part]) { stacks[stack] = parts }

    func has(_ stack: UInt64) -> Bool { stacks[stack] != nil }

    /// The leaf first; none if the stack is not known.
    subscript(stack: UInt64) -> [Frame] { parts(of: stack).flatMap { self[$0] } }

    func parts(of stack: UInt64) -> [Part] { stacks[stack] ?? [] }

    subscript(part: Part) -> [Frame] { named[Int(part.number)] }
}
