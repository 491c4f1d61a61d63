// SPDX-License-Identifier: Apache-2.0
package import CBPFPrograms
package import Symbolization

/// How to find the caller of any code of one file: its call frame information, as the BPF programs search it.
///
/// The layout of rows and rules is that of bpf/include/unwind.h. Addresses are those that the file was linked for.
package struct UnwindTable: Sendable {
    /// The address of the first page of 64 KB, which has a row.
    package let base: UInt64
    /// The rows of each page from `base` on, as a range of `rows`; an empty one where there is no code with a rule.
    package let pages: [Range<Int>]
    /// In the low 16 bits, an offset in the page; in the high 16, the number of the rule from there on.
    ///
    /// In each page offsets ascend, the first is 0, and neighbours differ in the rule.
    package let rows: [UInt32]
    /// The distinct rules; the first is always CFA_NO_RULE.
    package let rules: [unwind_rule]
    package let statistics: Statistics

    /// What was found in a file.
    package struct Statistics: Sendable, Equatable {
        /// Functions that are described.
        package var entries = 0
        /// Those of which some or all of the description makes no sense.
        package var malformedEntries = 0
        package var rows = 0
        /// Rows that say what no rule can say, before neighbours were merged. They have CFA_NO_RULE.
        package var inexpressibleRows = 0
        /// Rows for which there was no room, because a page has more than UNWIND_PAGE_ROWS.
        package var droppedRows = 0
    }

    /// Reads .eh_frame, and .debug_frame for code that is not in it.
    /// - Parameters:
    ///   - source: The ELF file, or an image of the vDSO.
    ///   - debugFile: Asked for the separate debug file, if an eighth of the code or more is not described.
    /// - Returns: nil if this is no ELF file for x86-64 or the 32-bit x86, or nothing in it is described.
    package init?(_ source: ByteSource, debugFile: (ELFFile) -> ByteSource? = { _ in nil }) {
        guard let elf = ELFFile(source) else { return nil }
        self.init(elf, debugFile: debugFile)
    }

    /// Reads a file, and its separate debug file where that is found.
    /// - Parameter path: The file's, as the process sees it.
    package init?(_ file: OpenFile, path: String, search: DebugFileSearch) {
        guard let elf = ELFFile(.file(file)) else { return nil }
        self.init(elf) { elf in
            search.find(for: CodeFileFacts(elf), identity: file.identity, path: path)?
                .verified.map { .file($0) }
        }
    }

    private init?(_ elf: ELFFile, debugFile: (ELFFile) -> ByteSource?) {
        guard let machine = CallFrameMachine.of(elf) else { return nil }
        var builder = UnwindTableBuilder(elf, machine)
        if let section = CallFrameSection.exceptionHandling(elf) { builder.add(section) }
        if let section = CallFrameSection.debugging(elf) { builder.add(section) }
        let code = elf.codeRanges().reduce(UInt64(0)) { $0 &+ ($1.upperBound - $1.lowerBound) }
        if builder.coveredBytes < code - code / 8, let source = debugFile(elf), let other = ELFFile(source) {
            // Prelinking moves the file, but not its debug file.
            let bias = SegmentMap(elf).base.flatMap { base in SegmentMap(other).base.map { base &- $0 } } ?? 0
            if let section = CallFrameSection.debugging(other, bias: bias) { builder.add(section) }
        }
        // Where DWARF is stripped.
        if builder.coveredBytes < code / 2, let functions = GoFunctions(elf) { builder.add(functions) }
        builder.addSignalReturns()
        builder.addStubs(elf.linkerStubs)
        guard let table = builder.build() else { return nil }
        self = table
    }

    init(_ rows: UnwindRows, _ rules: [unwind_rule], _ statistics: Statistics) {
        base = rows.base
        pages = rows.pages
        self.rows = rows.rows
        self.rules = rules
        self.statistics = statistics
    }

    /// A table that was made elsewhere.
    ///
    /// - Parameter pageSizes: How many rows each page has.
    /// - Returns: nil if rows are not as many as their pages say, or name rules that are not there.
    package init?(base: UInt64, pageSizes: [UInt32], rows: [UInt32], rules: [unwind_rule]) {
        var pages: [Range<Int>] = []
        pages.reserveCapacity(pageSizes.count)
        var end = 0
        for size in pageSizes {
            guard size <= UInt32(UNWIND_PAGE_ROWS) else { return nil }
            pages.append(end..<end + Int(size))
            end += Int(size)
        }
        guard end == rows.count, !rules.isEmpty, rows.allSatisfy({ Int($0 >> 16) < rules.count }) else {
            return nil
        }
        self.base = base
        self.pages = pages
        self.rows = rows
        self.rules = rules
        statistics = Statistics(rows: rows.count)
    }

    /// The rule at an address, found as the BPF programs do: the last row of its page that is not after it.
    ///
    /// For a caller it is the address before the one that the call returns to.
    package func rule(at address: UInt64) -> unwind_rule {
        let number = (address &- base) >> 16
        guard address >= base, number < UInt64(pages.count), !pages[Int(number)].isEmpty else {
            return rules[0]
        }
        let offset = UInt32(truncatingIfNeeded: address & 0xffff)
        var low = pages[Int(number)].lowerBound
        var high = pages[Int(number)].upperBound
        while high - low > 1 {
            let middle = (low + high) / 2
            if rows[middle] & 0xffff <= offset { low = middle } else { high = middle }
        }
        return rules[Int(rows[low] >> 16)]
    }

    /// Calls `body` with each row: the addresses for which it holds, and its rule. Pages without rows count as one.
    package func forEachRow(_ body: (Range<UInt64>, unwind_rule) -> Void) {
        for (number, page) in pages.enumerated() {
            let start = base + UInt64(number) << 16
            // The end of the last page of all is no address.
            let (pageEnd, isLast) = start.addingReportingOverflow(0x10000)
            let last = isLast ? UInt64.max : pageEnd
            if page.isEmpty { body(start..<last, rules[0]) }
            for row in page {
                let end = row + 1 < page.upperBound ? start + UInt64(rows[row + 1] & 0xffff) : last
                body(start + UInt64(rows[row] & 0xffff)..<end, rules[Int(rows[row] >> 16)])
            }
        }
    }
}
