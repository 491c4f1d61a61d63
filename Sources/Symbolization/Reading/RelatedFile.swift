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

    /// The module's own files, as far as they matter for where to look.
    package struct Owner {
        /// Open, of the module's file and of its debug file.
        let file: Int32
        let debugFile: Int32?
        /// Where they lie, if that is in another root than ours.
        var place: FilePlace?
        var debugPlace: FilePlace?

        package init(
            file: Int32, debugFile: Int32?, place: FilePlace? = nil, debugPlace: FilePlace? = nil
        ) {
            self.file = file
            self.debugFile = debugFile
            self.place = place
            self.debugPlace = debugPlace
        }
    }

    /// Opens it, in the root that the module's process has: what lies under the same name in ours is another file.
    package func open(_ owner: Owner) -> OpenFile? {
        let isOfDebugFile = base == .debugFile || base == .folderOfDebugFile
        if base == .root || base == .folderOfFile || base == .folderOfDebugFile, name.hasPrefix("/") {
            return Self.open(owner.place, name)
        }
        guard base != .root else { return nil }
        let isBeside = base == .file || base == .debugFile
        func path(_ own: String) -> String { (isBeside ? own : directory(of: own)) + name }
        if let place = isOfDebugFile ? owner.debugPlace : owner.place {
            return Self.open(place, path(place.path))
        }
        let own = isOfDebugFile ? owner.debugFile : owner.file
        return own.flatMap(Self.path).flatMap { OpenFile(path: path($0)) }
    }

    private static func open(_ place: FilePlace?, _ path: String) -> OpenFile? {
        place.map { OpenFile(root: $0.root.descriptor, path: path) } ?? OpenFile(path: path)
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
