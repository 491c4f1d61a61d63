// SPDX-License-Identifier: Apache-2.0

/// What is known of a unit that was asked for: its functions and its lines.
final class DWARFUnitContents {
    /// The one with the functions: the split one if there is one.
    let unit: DWARFUnit
    private let scopes: DWARFScopes
    private let lines: DWARFLineTable?
    /// The one that places of calls count files in.
    private let callFiles: DWARFLineTable?
    /// That of `unit`, if nobody else holds it.
    private let ownObject: DWARFObject?
    /// When it was asked for last.
    var lastUse = 0
    /// How much memory was last said to be taken.
    var bytesAccounted = 0

    init(
        unit: DWARFUnit, scopes: DWARFScopes, lines: DWARFLineTable?, callFiles: DWARFLineTable?,
        ownObject: DWARFObject? = nil
    ) {
        self.ownObject = ownObject
        self.unit = unit
        self.scopes = scopes
        self.lines = lines
        self.callFiles = callFiles
    }

    /// An estimate.
    var bytesHeld: Int {
        scopes.bytesHeld + (lines?.bytesHeld ?? 0) + (callFiles === lines ? 0 : callFiles?.bytesHeld ?? 0)
            + (ownObject?.bytesHeld ?? 0) + 1 << 10
    }

    /// All code that belongs to the unit.
    func intervals(of owner: UInt32) -> [DWARFIntervals.Interval] {
        let functions = scopes.intervals.intervals(of: owner)
        return functions.isEmpty ? lines?.intervals(of: owner) ?? [] : functions
    }

    /// The functions at an address, innermost first.
    func frames(
        at address: UInt64
    ) -> [(function: String?, file: String, line: Int, inlined: Bool)] {
        let row = lines?.row(of: address)
        let innermost = scopes.intervals.owner(of: address)
        guard row != nil || innermost != nil else { return [] }
        var file = row.flatMap { lines?.path($0.file) } ?? ""
        var line = Int(row?.line ?? 0)
        var result: [(function: String?, file: String, line: Int, inlined: Bool)] = []
        var next = innermost ?? DWARFScopes.noParent
        // What a function was inlined into was read before it: the numbers go down.
        while next != DWARFScopes.noParent {
            let scope = scopes.scopes[Int(next)]
            result.append((unit.functionName(at: scope.entry), file, line, scope.isInlined))
            guard scope.isInlined else { return result }
            file = callFiles?.path(scope.callFile) ?? ""
            line = Int(scope.callLine)
            next = scope.parent
        }
        result.append((nil, file, line, false))
        return result
    }
}
