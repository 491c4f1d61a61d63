// SPDX-License-Identifier: Apache-2.0

/// An address of a process that is to be named, as `Symbolizer.frames(user:process:isReturnAddress:at:)` takes it.
package struct UserAddress {
    package let address: UInt64
    package let process: Int32
    package let isReturnAddress: Bool
    package let time: UInt64?

    package init(_ address: UInt64, process: Int32, isReturnAddress: Bool, at time: UInt64?) {
        self.address = address
        self.process = process
        self.isReturnAddress = isReturnAddress
        self.time = time
    }
}

extension Symbolizer {
    /// Asks the reader for many addresses at once, so that `frames` has them at hand: a question to another process
    /// takes about as long for one as for a hundred.
    package func prepare(_ wanted: [UserAddress]) {
        let unnamed = ask(wanted)
        // A signal's handler returns to the beginning of a function, which has called nothing: see `StackReport`.
        if !unnamed.isEmpty { _ = ask(unnamed) }
    }

    /// - Returns: Return addresses that have no name, as plain ones.
    private func ask(_ wanted: [UserAddress]) -> [UserAddress] {
        var questions: [ModuleQuery] = []
        var seen: Set<FrameKey> = []
        for one in wanted {
            guard let question = question(one),
                seen.insert(FrameKey(question)).inserted
            else { continue }
            questions.append(question)
        }
        guard !questions.isEmpty else { return [] }
        let found = names(of: questions)
        for (question, frames) in zip(questions, found) {
            remember(frames, question.key, at: question.former, in: question.image)
        }
        return zip(questions, found).compactMap { question, frames in
            guard question.wanted.isReturnAddress, frames[0].function == nil else { return nil }
            return UserAddress(
                question.wanted.address, process: question.wanted.process, isReturnAddress: false,
                at: question.wanted.time)
        }
    }

    private struct FrameKey: Hashable {
        let image: ObjectIdentifier
        let key: UInt64
        let former: UInt64?

        init(_ question: ModuleQuery) {
            image = ObjectIdentifier(question.image)
            key = question.key
            former = question.former
        }
    }
}
