// SPDX-License-Identifier: Apache-2.0

package struct SymbolizerOptions: Sendable {
    /// Turn mangled names into those of the source.
    package var demangle: Bool
    /// Where separate debug files are, in the process's root or ours.
    package var debugRoot: String
    /// How much memory symbols may take, in bytes. The least recently used are given up beyond, and read again
    /// when needed.
    package var memoryLimit: Int

    package init(demangle: Bool = true, debugRoot: String = "/usr/lib/debug", memoryLimit: Int = 256 << 20) {
        self.demangle = demangle
        self.debugRoot = debugRoot
        self.memoryLimit = memoryLimit
    }
}

/// What a symbolizer did and holds.
package struct SymbolizerStatistics: Equatable, Sendable {
    /// Files opened so far, debug files included.
    package var filesOpened = 0
    /// Symbols put into indexes so far; those of an index that was made again count again.
    package var symbolsIndexed = 0
    /// Indexes given up to stay below the limit.
    package var evictions = 0
    /// Calls of `frames`.
    package var lookups = 0
    /// Those that ended without a function's name.
    package var misses = 0
    /// An estimate of the memory that symbols and names take now.
    package var bytesHeld = 0
}
