// SPDX-License-Identifier: Apache-2.0
package import Processes
package import Symbolization

/// An allocator, or what begins exceptions, in a file that a process has mapped.
package struct FoundAllocator {
    /// As the process sees it.
    package let path: String
    /// The very file, open, whatever names lead to it.
    package let file: OpenFile
    package let allocator: Allocator
}

/// Finds the allocators of a process in the files that it has mapped, whatever its mount namespace.
///
/// Not for use by several threads.
package final class AllocatorFinder {
    private let process: Int32
    private let root: String
    private let names: AllocatorNames
    private let objects: [String]
    private let known: KnownFiles
    private var lastMappings: [Mapping] = []
    /// What `lookAhead` has found.
    private var early: [FoundAllocator] = []
    /// How many files with code were looked into.
    package private(set) var filesSeen = 0
    /// Whether one of them is for the 32-bit x86.
    package private(set) var hasForeignFiles = false

    /// Files that were looked into, in whichever process.
    package final class KnownFiles {
        fileprivate var files: Set<FileIdentity> = []

        package init() {}
    }

    /// - Parameters:
    ///   - objects: paths, or their last parts, of the only files to look into; all if there are none.
    ///   - known: shared by the finders of processes of which each file counts once.
    package init(
        process: Int32, names: AllocatorNames = AllocatorNames(), objects: [String] = [],
        known: KnownFiles = KnownFiles(), proc: ProcFS = ProcFS()
    ) {
        self.known = known
        self.process = process
        self.names = names
        self.objects = objects
        root = proc.root
    }

    /// Allocators, and what begins exceptions, in files that were not mapped at the last look.
    package func look() -> [FoundAllocator] {
        defer { early = [] }
        return early + lookAtNew()
    }

    /// Looks for what the next look will return, so that that is quick.
    package func lookAhead() { early += lookAtNew() }

    private func lookAtNew() -> [FoundAllocator] {
        var directory = "\(root)/\(process)"
        guard var bytes = readFile(directory + "/maps", limit: 1 << 26) else { return [] }
        if bytes.isEmpty {
            // Its first thread may have ended.
            directory = "\(root)/\(ProcFS(root: root).livingThread(of: process))"
            bytes = readFile(directory + "/maps", limit: 1 << 26) ?? []
        }
        let mappings = Mapping.executable(in: bytes)
        guard mappings != lastMappings else { return [] }
        lastMappings = mappings
        let program = OpenFile(path: directory + "/exe")?.identity
        var found: [FoundAllocator] = []
        var seen: Set<FileIdentity> = []
        for mapping in mappings where mapping.inode != 0 {
            let identity = FileIdentity(device: mapping.device, inode: mapping.inode)
            guard seen.insert(identity).inserted, !known.files.contains(identity),
                isWanted(mapping.cleanPath),
                let file = open(mapping, in: directory)
            else { continue }
            known.files.insert(identity)
            filesSeen += 1
            if let allocator = look(into: file, isProgram: file.identity == program) {
                found.append(FoundAllocator(path: mapping.cleanPath, file: file, allocator: allocator))
            }
        }
        return found
    }

    private func isWanted(_ path: String) -> Bool {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        guard objects.isEmpty else {
            return objects.contains { object in
                // BCC's "c" stands for libc.
                object == path || object == name || name.hasPrefix("lib\(object).so")
            } || Self.unwinders.contains { name.hasPrefix($0) }
        }
        // glibc's loader had an allocator for itself, which it gave up once libc was there.
        return !name.hasPrefix("ld-linux") && !name.hasPrefix("ld-2.")
    }

    /// Libraries that begin exceptions, and hold no allocator.
    private static let unwinders = ["libgcc_s.so", "libunwind.so", "libc++abi.so"]

    private func look(into file: OpenFile, isProgram: Bool) -> Allocator? {
        guard let elf = ELFFile(.file(file)) else { return nil }
        if !elf.is64 { hasForeignFiles = true }
        return Allocator(elf, names: names, isProgram: isProgram)
    }

    /// The very file that is mapped, also if it has no name any more or another has taken its name.
    private func open(_ mapping: Mapping, in directory: String) -> OpenFile? {
        if let file = OpenFile(path: directory + "/map_files/" + mapping.linkName) { return file }
        // That takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
        guard let file = OpenFile(path: directory + "/root" + mapping.cleanPath),
            file.identity.inode == mapping.inode
        else { return nil }
        return file
    }
}
