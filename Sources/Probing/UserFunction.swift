// SPDX-License-Identifier: Apache-2.0
package import Symbolization

/// A function of an ELF file, and where to probe it.
package struct UserFunction: Equatable, Sendable {
    package let name: String
    /// Other names of the same code.
    package let aliases: [String]
    /// Of its entry, as the file counts.
    package let address: UInt64
    /// The same, in the file.
    package let offset: UInt64
    /// How far behind the entry a probe costs least, in bytes.
    package let distance: Int
    /// Whether the kernel emulates the instruction there.
    package let isEmulated: Bool
    /// Whether the kernel puts no probe there.
    package let isRefused: Bool

    /// How much of a function is read to find out where to probe it, and of all: what lies behind is probed at its
    /// entry. Functions of a hostile file may all be in each other.
    private static let functionLimit: UInt64 = 1 << 16
    private static let mostCode: UInt64 = 1 << 29
    /// Names that are found: browsers have half a million.
    private static let mostNames = 1 << 21

    /// The functions that a file defines and whose names are wanted, by name; those of one place under one name, the
    /// shortest that other files can use.
    ///
    /// - Parameter places: also finds out where a probe costs least, which reads the code.
    package static func find(
        in elf: ELFFile, places: Bool, where isWanted: (UnsafeRawBufferPointer) -> Bool
    ) -> [UserFunction] {
        guard elf.is64 else { return [] }
        // By address, and by name: the first entry of each.
        var count = 0
        var names: [UInt64: [String: (isLocal: Bool, function: DefinedFunction)]] = [:]
        FunctionTable(elf).forEach { entry in
            guard count < mostNames, isWanted(entry.name) else { return }
            let function = entry.function
            if names[entry.address]?[function.name] == nil {
                names[entry.address, default: [:]][function.name] = (entry.isLocal, function)
                count += 1
            }
        }
        let code = CodeOfFile(elf)
        let found = names.values.compactMap { same -> (DefinedFunction, [String], UInt64)? in
            let ordered = same.values.sorted { first, second in
                (first.isLocal ? 1 : 0, first.function.name.utf8.count, first.function.name)
                    < (second.isLocal ? 1 : 0, second.function.name.utf8.count, second.function.name)
            }
            guard let best = ordered.first?.function, best.address < UInt64.max - functionLimit,
                let offset = code.offset(of: best.address)
            else { return nil }
            return (best, ordered.dropFirst().map(\.function.name), offset)
        }
        return placed(
            found.sorted { ($0.0.name, $0.2) < ($1.0.name, $1.2) }, code, places: places)
    }

    private static func placed(
        _ found: [(function: DefinedFunction, aliases: [String], offset: UInt64)], _ code: CodeOfFile,
        places: Bool
    ) -> [UserFunction] {
        guard places else {
            return found.map {
                UserFunction(
                    name: $0.function.name, aliases: $0.aliases, address: $0.function.address,
                    offset: $0.offset, distance: 0, isEmulated: false, isRefused: false)
            }
        }
        var left = mostCode
        let placements = found.map { found in
            let wanted = min(found.function.size, functionLimit, left)
            let bytes = code.bytes(found.function.address, wanted)
            left -= min(left, UInt64(bytes.count))
            return ProbePlacement(bytes[...])
        }
        // Nothing may lead to the bytes between the entry and the probe but the entry.
        let skipped = zip(found, placements).compactMap { found, placement in
            placement.offset > 0
                ? found.function.address + 1..<found.function.address + UInt64(placement.offset) + 1 : nil
        }
        let entered = skipped.isEmpty || skipped.count > mostMoved ? nil : code.entered(skipped)
        return zip(found, placements).map { found, placement in
            let isSafe = entered.map { !$0.contains(found.function.address &+ 1) } ?? false
            return UserFunction(
                name: found.function.name, aliases: found.aliases, address: found.function.address,
                offset: found.offset,
                distance: isSafe ? placement.offset : 0,
                isEmulated: placement.isEmulated && (isSafe || placement.offset == 0),
                isRefused: placement.isRefused)
        }
    }

    /// For more, the search for jumps into them takes too long: they are probed at their entries.
    private static let mostMoved = 64
}
