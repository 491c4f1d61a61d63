// SPDX-License-Identifier: Apache-2.0
internal import Symbolization

/// A function of an allocator, and where to probe it.
package struct AllocatorFunction: Equatable, Sendable {
    package let name: String
    package let call: AllocatorCall
    /// Of the instruction to probe, in the file.
    package let offset: UInt64
    /// How far from the function's entry that is, in bytes.
    package let distance: Int
    /// Whether the kernel emulates the instruction.
    package let isEmulated: Bool
    /// Whether it may call another function of an allocator.
    package let nests: Bool
    /// In the file, of the instructions with which it returns, if it has no return probe: a changed return address
    /// would stop exceptions, which look for theirs among the callers.
    package let returns: [UInt64]

    package var hasReturnProbe: Bool { call != .free && call != .unwind && call != .new }
}

/// The functions of an allocator that one file holds, and those that begin exceptions.
package struct Allocator: Sendable {
    /// Empty if the file only has some of the others.
    package let functions: [AllocatorFunction]
    /// Functions that may throw end without a return: these tell of it.
    package let unwinders: [AllocatorFunction]
    /// Names of functions that may throw, and whose returns are not known.
    package let leftOut: [String]

    /// How much of a function is read: allocators' are smaller.
    private static let functionLimit: UInt64 = 1 << 16
    /// Some 200 names are known, and a file has a few of them once, with several versions.
    private static let mostFunctions = 1 << 10

    private struct Candidate {
        let function: DefinedFunction
        let call: AllocatorCall
        let placement: ProbePlacement
        let targets: [UInt64]

        /// The addresses behind the entry up to the instruction to probe: nothing may lead there.
        var skipped: Range<UInt64> {
            function.address + 1..<function.address + UInt64(placement.offset) + 1
        }
    }

    /// - Parameter isProgram: whether the file is what the process executes: linkers leave out of it what it does not
    ///   use, which may be all that frees.
    /// - Returns: nil if the file holds neither an allocator, something that allocates and something that frees, nor
    ///   something that begins exceptions.
    init?(_ elf: ELFFile, names: AllocatorNames, isProgram: Bool = false) {
        guard elf.is64 else { return nil }
        let found = FunctionTable(elf).functions(
            { names.call($0) != nil }, lengths: names.lengths, most: Self.mostFunctions)
        guard found.contains(where: { !AllocatorNames.isOperator($0.name) }) else { return nil }
        let code = CodeOfFile(elf)
        let starts = Set(found.filter { names.call($0.name) != .unwind }.map(\.address))
        let candidates = Self.candidates(found, names, code).filter { candidate in
            // What only hands on to malloc or free is counted there.
            !AllocatorNames.isOperator(candidate.function.name)
                || !candidate.targets.contains { starts.contains($0) }
        }
        let moved = candidates.filter { $0.placement.offset > 0 }.map(\.skipped)
        let entered = code.entered(moved)
        let returns = FunctionReturns(elf, code)
        var leftOut: [String] = []
        let placed = candidates.compactMap { candidate -> AllocatorFunction? in
            var ends: [UInt64] = []
            if candidate.call == .new {
                guard let found = returns.find(from: candidate.function.address) else {
                    leftOut.append(candidate.function.name)
                    return nil
                }
                ends = found.compactMap(code.offset)
            }
            guard let offset = code.offset(of: candidate.function.address) else { return nil }
            let isSafe = !entered.contains(candidate.skipped.lowerBound)
            let distance = isSafe ? candidate.placement.offset : 0
            return AllocatorFunction(
                name: candidate.function.name, call: candidate.call, offset: offset + UInt64(distance),
                distance: distance,
                isEmulated: candidate.placement.isEmulated && distance == candidate.placement.offset,
                nests: candidate.placement.callsIndirectly
                    || candidate.targets.contains { starts.contains($0) || code.isLinkage($0) },
                returns: ends)
        }
        unwinders = placed.filter { $0.call == .unwind }
        let ofAllocator = placed.filter { $0.call != .unwind }
        let frees = ofAllocator.contains { $0.call == .free }
        let allocates = ofAllocator.contains { $0.call == .allocate }
        let isWhole = frees ? ofAllocator.contains { $0.call != .free } : isProgram && allocates
        functions = isWhole ? ofAllocator : []
        self.leftOut = isWhole ? leftOut : []
        if functions.isEmpty && unwinders.isEmpty { return nil }
    }

    /// One for each address.
    private static func candidates(
        _ found: [DefinedFunction], _ names: AllocatorNames, _ code: CodeOfFile
    ) -> [Candidate] {
        // Names of C first: an alias in C++ is the same function.
        func rank(_ function: DefinedFunction) -> (Int, Int, String) {
            (AllocatorNames.isOperator(function.name) ? 1 : 0, function.name.utf8.count, function.name)
        }
        var seen: Set<UInt64> = []
        return found.sorted { rank($0) < rank($1) }.compactMap { function in
            guard seen.insert(function.address).inserted, let call = names.call(function.name),
                function.address < UInt64.max - functionLimit
            else { return nil }
            let bytes = code.bytes(function.address, min(function.size, functionLimit))
            let placement = ProbePlacement(bytes[...])
            return Candidate(
                function: function, call: call, placement: placement,
                targets: placement.targets.map { function.address &+ UInt64(bitPattern: Int64($0)) })
        }
    }
}
