// SPDX-License-Identifier: Apache-2.0
package import Symbolization

/// Where the functions of a file end: at their return instructions, and at those of functions that they end by a jump to.
///
/// Unlike `FunctionReturns` it knows how large functions are: the whole code of one is looked at, so that tables of jumps
/// and the handlers of exceptions are no obstacle. More may be found than there is, since calls that do not return are
/// not known as such; nothing is missing if that is said.
package final class FunctionEnds {
    /// The ends of one function.
    package struct Ends: Equatable {
        /// Return instructions, by their offsets in the file, sorted.
        package var returns: [UInt64] = []
        /// Whether it returns nowhere else. None at all are all of a function that never returns.
        package var areAll = true
        /// Whether it may end by a jump to another function.
        package var mayJump = false
    }

    private let code: CodeOfFile
    private let starts: Set<UInt64>
    private let linkage: LinkageTable
    /// By their addresses. Parts that compilers have put elsewhere are functions, too.
    private let functions: [Range<UInt64>]
    private let parts: Set<UInt64>
    /// Those that nothing but an exception may lead to are known by their names.
    private let partsOf: [UInt64: Set<UInt64>]
    private var known: [UInt64: LocalEnds] = [:]
    private var bytesLeft = mostBytes

    private static let mostInstructions = 1 << 15
    private static let mostReturns = 1 << 10
    private static let mostFunctions = 1 << 6
    private static let mostFunctionBytes: UInt64 = 1 << 18
    /// Of all: functions of a hostile file may all be in each other.
    private static let mostBytes: UInt64 = 1 << 29
    private static let window: UInt64 = 1 << 10

    package init(_ elf: ELFFile) {
        code = CodeOfFile(elf)
        starts = FunctionReturns.starts(elf)
        linkage = LinkageTable(elf)
        var sizes: [UInt64: UInt64] = [:]
        var parts: [String: Set<UInt64>] = [:]
        let table = FunctionTable(elf)
        table.forEach { entry in
            sizes[entry.address] = max(entry.size, sizes[entry.address] ?? 0)
            if let whole = Self.nameOfWhole(entry.name) { parts[whole, default: []].insert(entry.address) }
        }
        var owned: [UInt64: Set<UInt64>] = [:]
        if !parts.isEmpty {
            table.forEach { entry in
                guard let found = parts[String(decoding: entry.name, as: UTF8.self)] else { return }
                owned[entry.address, default: []].formUnion(found)
            }
        }
        self.parts = Set(parts.values.joined())
        partsOf = owned
        functions = sizes.compactMap { address, size in
            let end = address.addingReportingOverflow(min(size, Self.mostFunctionBytes))
            return end.overflow || size == 0 ? nil : address..<end.partialValue
        }.sorted { $0.lowerBound < $1.lowerBound }
    }

    /// The name of the function that one is a part of, as GCC and LLVM write it: NAME.cold, NAME.cold.1.
    private static func nameOfWhole(_ name: UnsafeRawBufferPointer) -> String? {
        guard
            let start = name.indices.dropLast(suffix.count - 1).first(where: { start in
                name[start] == suffix[0] && name[start..<start + suffix.count].elementsEqual(suffix)
            })
        else { return nil }
        return String(decoding: name[..<start], as: UTF8.self)
    }

    private static let suffix = Array(".cold".utf8)

    /// - Parameter entry: the address of a function, as the file counts.
    package func of(_ entry: UInt64) -> Ends {
        var ends = Ends()
        var returns: Set<UInt64> = []
        var seen: Set<UInt64> = [entry]
        var waiting = [entry]
        while let function = waiting.popLast() {
            let local = local(function)
            returns.formUnion(local.returns)
            ends.areAll = ends.areAll && local.areAll
            ends.mayJump = ends.mayJump || local.mayJump
            guard seen.count <= Self.mostFunctions, returns.count <= Self.mostReturns else {
                ends.areAll = false
                break
            }
            waiting += local.jumps.filter { seen.insert($0).inserted }
        }
        ends.returns = returns.compactMap(code.offset).sorted()
        return ends
    }

    /// What is in the code of one function alone.
    private func local(_ entry: UInt64) -> LocalEnds {
        if let found = known[entry] { return found }
        let range = function(holding: entry).flatMap { $0.lowerBound == entry ? $0 : nil } ?? entry..<entry
        let bytes = code.bytes(entry, min(UInt64(range.count), bytesLeft))
        bytesLeft -= UInt64(bytes.count)
        var found = LocalEnds()
        if bytes.count == range.count, let whole = WholeFunction(bytes, at: entry) {
            found.returns = whole.returns
            found.areAll = !whole.endsElsewhere
            found.mayJump = whole.endsElsewhere
            follow(whole.exits, &found, from: range)
        } else {
            follow([entry], &found, from: range)
        }
        found.jumps.formUnion(partsOf[entry] ?? [])
        known[entry] = found
        return found
    }

    private func function(holding address: UInt64) -> Range<UInt64>? {
        var low = 0
        var high = functions.count
        while low < high {
            let middle = (low + high) / 2
            if functions[middle].lowerBound <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, case let found = functions[low - 1], found.contains(address) else { return nil }
        return found
    }

    /// Takes in what a jump leads to, if that is another function; otherwise it is to be followed.
    private func isOther(_ target: UInt64, than own: Range<UInt64>, _ found: inout LocalEnds) -> Bool {
        if code.isLinkage(target) {
            found.mayJump = true
            if let function = linkage.function(at: target, code) {
                found.jumps.insert(function)
            } else {
                found.areAll = false
            }
            return true
        }
        guard let function = function(holding: target), function != own else { return false }
        found.jumps.insert(function.lowerBound)
        // Into the middle of one leads a part that was put elsewhere.
        if target == function.lowerBound, !parts.contains(target) { found.mayJump = true }
        return true
    }

    /// Follows jumps through code of which no table says what function it is.
    private func follow(_ targets: Set<UInt64>, _ found: inout LocalEnds, from own: Range<UInt64>) {
        var waiting = targets.filter { $0 == own.lowerBound || !isOther($0, than: own, &found) }
        var seen: Set<UInt64> = []
        var (bytes, first): ([UInt8], UInt64) = ([], 0)
        while var address = waiting.popFirst() {
            var isBehindCall = false
            while seen.insert(address).inserted {
                if address < first || address - first + UInt64(Instruction.longest) > UInt64(bytes.count) {
                    (bytes, first) = (code.bytes(address, Self.window), address)
                }
                guard seen.count <= Self.mostInstructions,
                    let instruction = Instruction(bytes[...], at: Int(address - first))
                else {
                    found.areAll = false
                    break
                }
                let next = address &+ UInt64(instruction.length)
                switch instruction.flow {
                case .next, .call, .indirectCall: break
                case .indirectJump:
                    found.areAll = false
                    found.mayJump = true
                case .jump(let distance), .branch(let distance):
                    let target = next &+ UInt64(bitPattern: distance)
                    if !isOther(target, than: own, &found) { waiting.insert(target) }
                case .end: if instruction.isReturn { found.returns.insert(address) }
                }
                isBehindCall = instruction.isCall || isBehindCall && instruction.isNoOperation
                // A call that does not return is the last of its function, but for what fills up.
                let isLast = isBehindCall && (starts.contains(next) || next == own.upperBound)
                guard instruction.goesOn, !isLast else { break }
                address = next
            }
        }
    }
}

/// What is found in the code of one function, not of those that it jumps to.
private struct LocalEnds {
    var returns: Set<UInt64> = []
    var jumps: Set<UInt64> = []
    var areAll = true
    var mayJump = false
}

/// All instructions of a function from its first byte to its last.
private struct WholeFunction {
    private(set) var returns: Set<UInt64> = []
    /// Where jumps out of it go.
    private(set) var exits: Set<UInt64> = []
    /// Whether it has jumps that lead somewhere else, and the code does not say where.
    private(set) var endsElsewhere = false

    /// - Returns: nil if not every byte is part of an instruction, as far as one can see: a probe in data would change
    ///   it.
    init?(_ code: [UInt8], at address: UInt64) {
        guard !code.isEmpty else { return nil }
        var begins = [Bool](repeating: false, count: code.count)
        var targets: Set<Int> = []
        var position = 0
        var previous: Instruction?
        while position < code.count {
            guard let instruction = Instruction(code[...], at: position), !instruction.isUnusual else {
                return nil
            }
            begins[position] = true
            let start = position
            position += instruction.length
            switch instruction.flow {
            case .jump(let distance), .branch(let distance):
                let target = Int64(position) + distance
                if target >= 0, target < Int64(code.count) {
                    targets.insert(Int(target))
                } else {
                    exits.insert(address &+ UInt64(bitPattern: target))
                }
            case .indirectJump:
                if !instruction.isJumpByTable(code[start..<position], behind: previous) {
                    endsElsewhere = true
                }
            case .end: if instruction.isReturn { returns.insert(address &+ UInt64(start)) }
            case .next, .call, .indirectCall: break
            }
            if !instruction.isNoOperation { previous = instruction }
        }
        guard position == code.count, targets.allSatisfy({ begins[$0] }) else { return nil }
    }
}

extension Instruction {
    /// Whether it goes on in the same function, at a place that is taken from a table: `jmp *table(,%rax,8)`, or an
    /// address that has been added to the table's.
    fileprivate func isJumpByTable(_ bytes: ArraySlice<UInt8>, behind previous: Instruction?) -> Bool {
        guard let modrm else { return false }
        if modrm >> 6 == 3 {
            guard let previous, previous.map == 0, let other = previous.modrm else { return false }
            return (previous.opcode == 0x01 || previous.opcode == 0x03) && other >> 6 == 3
        }
        // With an index; 4 is none.
        guard modrm & 7 == 4, let place = bytes.lastIndex(of: modrm), bytes.indices.contains(place + 1) else {
            return false
        }
        return bytes[place + 1] >> 3 & 7 != 4 || prefixes.rex & 2 != 0
    }

    /// Whether programs have no use for it, but data may look like it.
    fileprivate var isUnusual: Bool {
        guard map == 0 else { return false }
        switch opcode {
        case 0x00: return modrm == 0
        // Input, output, interrupts, far returns, segments, flags.
        case 0x6c...0x6f, 0xe4...0xe7, 0xec...0xef, 0xcd, 0xcf, 0xca, 0xcb, 0x8e, 0xc8, 0xd7, 0xf1, 0xf5,
            0xfa, 0xfb:
            return true
        default: return false
        }
    }
}
