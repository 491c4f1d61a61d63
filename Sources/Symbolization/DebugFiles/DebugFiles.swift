// SPDX-License-Identifier: Apache-2.0
internal import Glibc

/// A separate debug file that was found, and whether it is known to belong.
package struct DebugFile {
    package let file: OpenFile
    /// The CRC-32 that it must have; nil if its build ID has been compared.
    package let checksum: UInt32?
    /// From the root of the process, if it was found there.
    let path: String?

    package init(file: OpenFile, checksum: UInt32?, path: String? = nil) {
        self.file = file
        self.checksum = checksum
        self.path = path
    }

    /// The file, if it is known to belong; otherwise all its bytes are read and their checksum is compared.
    package var verified: OpenFile? { verified(ReadingBudget()) }

    func verified(_ budget: ReadingBudget) -> OpenFile? {
        guard let checksum else { return file }
        let size = ByteSource.file(file).size
        guard budget.spend(size / ReadingBudget.checksumBytesPerUnit) else { return nil }
        return Symbolization.checksum(of: .file(file)) == checksum ? file : nil
    }
}

/// Finds separate debug files as GDB does (GDB manual, "Debugging Information in Separate Files").
package struct DebugFileSearch {
    /// The root of the process's mount namespace, open; nil to look in ours only.
    let root: Int32?
    let debugRoot: String
    let reader: any CodeReader

    /// - Parameters:
    ///   - root: The root of the process's mount namespace, open; nil to look in ours only.
    ///   - debugRoot: Where distributions put debug files.
    ///   - reader: What looks into files.
    package init(root: Int32?, debugRoot: String, reader: any CodeReader = LocalReader()) {
        self.reader = reader
        self.root = root
        self.debugRoot = debugRoot
    }

    /// The debug file of an ELF file: by build ID, else by its link. The process's root is searched first.
    ///
    /// A file that was found by the link is not read here: its checksum has to be compared before use.
    /// - Parameter path: The ELF file's, from the process's root.
    package func find(for facts: CodeFileFacts, identity: FileIdentity, path: String) -> DebugFile? {
        let buildID = facts.buildID
        if let buildID, buildID.count >= 2 {
            let name = hexadecimal(buildID.prefix(1)) + "/" + hexadecimal(buildID.dropFirst()) + ".debug"
            for (file, path) in open(debugRoot + "/.build-id/" + name) where file.identity != identity {
                guard reader.facts(of: .file(file))?.buildID == buildID else { continue }
                return DebugFile(file: file, checksum: nil, path: path)
            }
        }
        guard let link = facts.debugLink else { return nil }
        let directory = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? ""
        let candidates = [directory, directory + "/.debug", debugRoot + directory].lazy.flatMap {
            open($0 + "/" + link.name)
        }
        // A link to itself is an old mistake of packagers.
        for (file, path) in candidates where file.identity != identity {
            // One of another build is not worth the reading of all its bytes.
            guard let found = reader.facts(of: .file(file)) else { continue }
            if let buildID, let other = found.buildID, other != buildID { continue }
            return DebugFile(file: file, checksum: link.checksum, path: path)
        }
        return nil
    }

    /// In the process's root, with the path there, and in ours.
    private func open(_ path: String) -> some Sequence<(file: OpenFile, path: String?)> {
        [root, AT_FDCWD].lazy.compactMap { root in
            root.flatMap { OpenFile(root: $0, path: path) }.map { ($0, root == AT_FDCWD ? nil : path) }
        }
    }
}
