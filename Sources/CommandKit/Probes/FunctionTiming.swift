// SPDX-License-Identifier: Apache-2.0
internal import Probing
internal import Reporting
internal import Symbolization

/// Chooses how the ends of calls are seen.
///
/// A return probe changes the return address on the stack: programs die of it that look for the handler of an exception
/// there, or leave the function in another way, or change the stack. A probe at a return instruction changes nothing.
struct FunctionTiming {
    private let file: CodeFile?
    private let use: ReturnProbes
    private let isPattern: Bool
    private let session: Session

    init(_ file: CodeFile?, _ use: ReturnProbes, isPattern: Bool, _ session: Session) {
        self.file = file
        self.use = use
        self.isPattern = isPattern
        self.session = session
    }

    /// The targets whose calls can be timed, with how that is done.
    ///
    /// - Throws: `CommandFailure` if none can be.
    func timed(_ targets: [ProbeTargets.Target]) throws -> [ProbeTargets.Target] {
        guard let file, targets.contains(where: { $0.kind == .uprobe }) else { return targets }
        let isGo = file.elf.section(named: ".gopclntab") != nil
        if use == .always {
            guard !isGo else {
                throw CommandFailure(
                    "'\(escaped(file.path))' has code in Go, which moves its stacks and would die of return probes: "
                        + "leave --return-probes out")
            }
            return try probed(targets)
        }
        let finder = FunctionEnds(file.elf)
        let found = targets.map { target in
            var target = target
            target.timing = target.address.map { .instructions(finder.of($0)) }
            return target
        }
        let unknown = found.filter(\.hasNoKnownEnd)
        explain(found)
        guard !unknown.isEmpty else { return found }
        guard use == .auto, !isPattern, !isGo else {
            return try without(unknown, found, mayProbe: !isGo)
        }
        let probed = try probed(unknown)
        session.say(
            "\(names(probed)): timed by the kernel's return probes, since no return instruction was found")
        return found.filter { !$0.hasNoKnownEnd } + probed
    }

    private func without(
        _ unknown: [ProbeTargets.Target], _ found: [ProbeTargets.Target], mayProbe: Bool
    ) throws -> [ProbeTargets.Target] {
        let remedy = mayProbe ? "--return-probes always times them by means that can harm a program" : nil
        guard unknown.count < found.count else {
            throw CommandFailure(
                "no return instructions were found in \(names(unknown)): "
                    + (remedy ?? "funccount can count the calls"))
        }
        session.say(
            "\(unknown.count) of the \(found.count) user functions are left out, since no return instructions were "
                + "found in them (-v names them)" + (remedy.map { "; " + $0 } ?? ""))
        return found.filter { !$0.hasNoKnownEnd }
    }

    /// The same, by return probes.
    private func probed(_ targets: [ProbeTargets.Target]) throws -> [ProbeTargets.Target] {
        let untimed = targets.filter(UntimedFunctions.contains)
        guard !untimed.isEmpty else { return targets.map(\.withReturnProbe) }
        guard untimed.count < targets.count else {
            throw CommandFailure(
                "\(names(untimed)) cannot be timed by return probes: programs would die of it; funccount can count it"
            )
        }
        session.say("left out, because programs would die of a return probe there: \(names(untimed))")
        return targets.filter { !UntimedFunctions.contains($0) }.map(\.withReturnProbe)
    }

    private func names(_ targets: [ProbeTargets.Target]) -> String {
        let shown = targets.prefix(Self.mostNames).map { escaped($0.name) }.joined(separator: ", ")
        return targets.count > Self.mostNames
            ? "\(shown) and \(targets.count - Self.mostNames) others" : shown
    }

    private static let mostNames = 20

    private func explain(_ targets: [ProbeTargets.Target]) {
        for target in targets {
            guard case .instructions(let ends) = target.timing else { continue }
            session.explain(
                "\(escaped(target.name)): "
                    + (ends.returns.isEmpty && ends.areAll
                        ? "never returns"
                        : "\(ends.returns.count) return instructions"
                            + (ends.areAll ? "" : ", perhaps not all")))
        }
        let partly = targets.count { target in
            guard case .instructions(let ends) = target.timing else { return false }
            return !ends.areAll && !ends.returns.isEmpty
        }
        guard partly > 0 else { return }
        session.say(
            "\(partly) of the \(targets.count) user functions may end by a jump to where nothing tells (-v names them): "
                + "such calls count as those that never returned")
    }
}

extension ProbeTargets.Target {
    fileprivate var hasNoKnownEnd: Bool {
        guard case .instructions(let ends) = timing else { return false }
        return ends.returns.isEmpty && !ends.areAll
    }

    fileprivate var withReturnProbe: Self {
        var target = self
        target.timing = .returnProbe
        return target
    }
}
