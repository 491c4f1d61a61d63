// SPDX-License-Identifier: Apache-2.0

/// Executable memory of a process, and the file that it shows.
package struct CodeRegion {
    /// Addresses in the process.
    package let start: UInt64
    package let end: UInt64
    /// nil for memory without a file that could be read, as for code made at run time.
    package let module: Module?
    /// Whether it shows a file, also one that could not be read.
    package let isFile: Bool
    /// What the file counts as the address of `start`.
    package let address: UInt64
}

extension ProcessImage.Region {
    fileprivate var code: CodeRegion {
        var module: Module?
        if case .module(let found) = content { module = found }
        let address = module?.segments.codeAddress(
            ofOffset: mapping.offset, bytes: mapping.end - mapping.start)
        return CodeRegion(
            start: mapping.start, end: mapping.end, module: address == nil ? nil : module,
            isFile: mapping.inode != 0 || module != nil, address: address ?? mapping.offset)
    }
}

extension Symbolizer {
    /// The code that a process had at an address at a time, in nanoseconds of the monotonic clock, as far as it is
    /// known; also of one that has ended since.
    package func code(of process: Int32, holding address: UInt64, at time: UInt64) -> CodeRegion? {
        table.image(of: process, at: time, with: address)?.region(at: address)?.code
    }

    /// The code that a process has mapped, as far as it is known, in ascending order; nil if it has ended.
    package func code(of process: Int32) -> [CodeRegion]? {
        guard let image = table.current(process), !image.isOver else { return nil }
        return image.allRegions.map(\.code)
    }
}
