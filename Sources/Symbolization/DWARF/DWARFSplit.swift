// SPDX-License-Identifier: Apache-2.0

/// Finds the units of split DWARF: in a .dwp file beside the executable, or in .dwo files (DWARF 5, 7.3.2).
final class DWARFSplit {
    private let budget: DWARFBudget
    private let memoryLimit: Int
    /// The package and its index; nil if it was not looked for yet.
    private var package: (object: DWARFObject, index: DWARFPackageIndex)??

    init(budget: DWARFBudget, memoryLimit: Int) {
        self.budget = budget
        self.memoryLimit = memoryLimit
    }

    /// The unit that a skeleton stands for; nil if it stands for none, or its file is not there.
    func unit(of skeleton: DWARFUnit) -> DWARFUnit? {
        guard skeleton.root.splitName.exists, let id = skeleton.splitID, budget.spend(DWARFBudget.Cost.file)
        else {
            return nil
        }
        return unitOfPackage(id, skeleton) ?? unitOfFile(id, skeleton)
    }

    var bytesHeld: Int { package??.object.bytesHeld ?? 0 }

    /// The package, if it is open.
    var object: DWARFObject? { package??.object }

    private func unitOfPackage(_ id: UInt64, _ skeleton: DWARFUnit) -> DWARFUnit? {
        if package == nil { package = .some(openPackage(skeleton.object.file)) }
        guard case let (object, index)?? = package, let contribution = index.contribution(of: id) else {
            return nil
        }
        let unit = DWARFUnit(
            object, at: contribution.info, skeleton: skeleton, contribution: contribution)
        return unit?.splitID == id ? unit : nil
    }

    private func openPackage(_ executable: DWARFFile) -> (object: DWARFObject, index: DWARFPackageIndex)? {
        guard let file = executable.beside(suffix: ".dwp"), let object = open(file, executable.others),
            let section = object.section(.unitIndex), let index = DWARFPackageIndex(section)
        else { return nil }
        return (object, index)
    }

    private func unitOfFile(_ id: UInt64, _ skeleton: DWARFUnit) -> DWARFUnit? {
        guard let name = skeleton.text(skeleton.root.splitName), !name.isEmpty else { return nil }
        var path = name
        if !name.hasPrefix("/") {
            guard let directory = skeleton.directory, directory.hasPrefix("/") else { return nil }
            path = directory + "/" + name
        }
        let file = RelatedFile(base: .root, name: path)
        guard let object = open(file, skeleton.object.file.others) else { return nil }
        // There is one compilation unit in a file, and units of types.
        for offset in object.units.prefix(1 << 12) {
            if let unit = DWARFUnit(object, at: offset, skeleton: skeleton), unit.splitID == id {
                return unit
            }
        }
        return nil
    }

    private func open(_ related: RelatedFile, _ others: RelatedFiles) -> DWARFObject? {
        guard let file = DWARFFile(related, others), let headers = file.headers() else { return nil }
        return DWARFObject(file, headers: headers, isSplit: true, budget: budget, memoryLimit: memoryLimit)
    }
}

/// Which parts of a .dwp file's sections belong to which unit (DWARF 5, 7.3.5.3; GNU's version 2 before).
struct DWARFPackageIndex {
    private let section: DWARFSection
    private let version: UInt64
    private let columns: UInt64
    private let units: UInt64
    private let slots: UInt64

    init?(_ section: DWARFSection) {
        guard let version = section.number(at: 0, size: 4), let columns = section.number(at: 4, size: 4),
            let units = section.number(at: 8, size: 4), let slots = section.number(at: 12, size: 4)
        else { return nil }
        self.section = section
        // Version 5 is of two bytes, and two of padding.
        self.version = version == 2 ? 2 : version & 0xffff
        self.columns = columns
        self.units = units
        self.slots = slots
        guard self.version == 2 || self.version == 5, columns <= 16, slots.nonzeroBitCount == 1 else {
            return nil
        }
    }

    /// Where the unit with an ID is; nil if it is not in the package.
    func contribution(of id: UInt64) -> DWARFContribution? {
        guard let row = row(of: id) else { return nil }
        let table = 16 + slots * 12
        var contribution = DWARFContribution()
        var hasInfo = false
        for column in 0..<columns {
            guard let kind = section.number(base: table, index: column, size: 4),
                let offset = section.number(base: table, index: row * columns + column, size: 4)
            else { return nil }
            // DW_SECT_*
            switch (kind, version) {
            case (1, _):
                contribution.info = offset
                hasInfo = true
            case (3, _): contribution.abbreviations = offset
            case (4, _): contribution.lines = offset
            case (6, _): contribution.stringOffsets = offset
            case (8, 5): contribution.rangeLists = offset
            default: break
            }
        }
        return hasInfo ? contribution : nil
    }

    /// Looks an ID up in the hash table; rows count from 1.
    private func row(of id: UInt64) -> UInt64? {
        let mask = slots - 1
        let step = id >> 32 & mask | 1
        var slot = id & mask
        for _ in 0..<min(slots, 1 << 12) {
            guard let found = section.number(base: 16, index: slot, size: 8),
                let row = section.number(base: 16 + slots * 8, index: slot, size: 4), row != 0
            else { return nil }
            if found == id { return row <= units ? row : nil }
            slot = (slot + step) & mask
        }
        return nil
    }
}
