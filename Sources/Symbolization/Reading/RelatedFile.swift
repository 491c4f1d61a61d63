// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A file that the debug information of another names: split DWARF, its packages, and what dwz has moved.
package struct RelatedFile: Hashable, Sendable {
    package enum Base: UInt8, Sendable {
        /// The name is an absolute path.
        case root
        /// The name goes behind the path of the module's own file.
        case file
        /// The same for the module's separate debug file.
        case debugFile
        /// The name is a path from the folder of the module's own file, or an absolute one.
        case folderOfFile
        /// The same for the module's separate debug file.
        case folderOfDebugFile
    }

    package let base: Base
    package let name: String

    package init(base: Base, name: String) {
        self.base = base
        self.name = name
    }

    /// Opens it.
    ///
    /// - Parameter descriptors: Those of the module's file and of its debug file, open.
    package func open(_ file: Int32, _ debugFile: Int32?) -> OpenFile? {
        switch base {
        case .root: return name.hasPrefix("/") ? OpenFile(path: name) : nil
        case .file, .debugFile:
            let own = base == .file ? file : debugFile
            return own.flatMap(Self.path).flatMap { OpenFile(path: $0 + name) }
        case .folderOfFile, .folderOfDebugFile:
            if name.hasPrefix("/") { return OpenFile(path: name) }
            let own = base == .folderOfFile ? file : debugFile
            return own.flatMap(Self.path).flatMap { OpenFile(path: directory(of: $0) + name) }
        }
    }

    /// The path by which the kernel knows an open file now; nil if it has none any more.
    private static func path(of descriptor: Int32) -> String? {
        guard descriptor >= 0 else { return nil }
        let path = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
            filled = buffer.withMemoryRebound(to: CChar.self) { text in
                text.baseAddress.map { max(readlink("/proc/self/fd/\(descriptor)", $0, text.count), 0) } ?? 0
            }
        }
        return path.first == UInt8(ascii: "/") ? String(decoding: path, as: UTF8.self) : nil
    }
}

/// Opens related files of a module for its line provider.
package typealias RelatedFileOpener = (ModuleIdentity, RelatedFile) -> OpenFile?

/// Opens related files of one module, whose own files are lent for a call at a time.
final class RelatedFiles {
    private let opener: RelatedFileOpener
    /// That of the current call.
    var identity: ModuleIdentity

    init(_ identity: ModuleIdentity, _ opener: @escaping RelatedFileOpener) {
        self.identity = identity
        self.opener = opener
    }

    func open(_ file: RelatedFile) -> OpenFile? { opener(identity, file) }
}
