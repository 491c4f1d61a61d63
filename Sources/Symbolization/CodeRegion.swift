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

extension Symbolizer {
    /// The code that a process has mapped, as far as it is known, in ascending order; nil if it has ended.
    package func code(of process: Int32) -> [CodeRegion]? {
        guard let image = table.current(process), !image.isOver else { return nil }
        return image.allRegions.map { region in
            var module: Module?
            if case .module(let found) = region.content { module = found }
            let mapping = region.mapping
            let address = module?.segments.codeAddress(
                ofOffset: mapping.offset, bytes: mapping.end - mapping.start)
            return CodeRegion(
                start: mapping.start, end: mapping.end, module: address == nil ? nil : module,
                isFile: mapping.inode != 0 || module != nil,
                address: address ?? mapping.offset)
        }
    }
}
