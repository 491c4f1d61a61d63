// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization
internal import Glibc

/// The modules of all processes: a file that several have mapped is opened and read once.
final class ModuleRegistry {
    private let debugRoot: String
    private let reader: any CodeReader
    /// By what the kernel says of mappings; only where that is what it says of files too, which on overlayfs and
    /// btrfs it is not.
    private var byIdentity: [FileIdentity: Module] = [:]
    /// By what the kernel says of mappings as they are made, which identifies a file on every file system.
    private var byEvent: [EventIdentity: FileIdentity] = [:]
    private var images: [(bytes: [UInt8], module: Module)] = []
    private var roots = RootDirectories()
    private var nextNumber = 0
    private(set) var filesOpened = 0

    init(debugRoot: String, reader: any CodeReader = LocalReader()) {
        self.debugRoot = debugRoot
        self.reader = reader
    }

    var modules: some Sequence<Module> {
        [Array(byIdentity.values), images.map(\.module)].joined()
    }

    /// Where to look for a process's files.
    struct Place {
        /// Its directory in /proc.
        let directory: String
        /// Its root, open; nil if it cannot be reached.
        let root: Int32?
    }

    /// What is said of a file when it is mapped. On btrfs, files in several subvolumes can have the same device and
    /// inode here, but not the same generation too.
    private struct EventIdentity: Hashable {
        let device: UInt64
        let inode: UInt64
        let generation: UInt64
        let path: [UInt8]
    }

    /// The module of a mapping that was just made, by a process that may be gone already: then it takes a file that
    /// is known, or that has the same path in our own root.
    ///
    /// - Parameter directory: The process's in /proc, which may be another's by now.
    func module(of mapping: Mapping, generation: UInt64, process directory: @autoclosure () -> String)
        -> Module?
    {
        let event = EventIdentity(
            device: mapping.device, inode: mapping.inode, generation: generation, path: mapping.path)
        let key = byEvent[event] ?? FileIdentity(device: mapping.device, inode: mapping.inode)
        if let known = byIdentity[key], known.isUnchanged { return known }
        let directory = directory()
        let handle = apus_open_root(directory + "/root")
        defer { if handle >= 0 { close(handle) } }
        let place = Place(directory: directory, root: handle >= 0 ? handle : nil)
        guard let file = openSame(mapping, at: place) else { return nil }
        guard let module = module(of: file, mapping, at: place) else { return nil }
        if byEvent.count >= 1 << 16 { byEvent = [:] }
        byEvent[event] = file.identity
        return module
    }

    /// The module of a mapping; nil if the file cannot be opened or is no ELF file.
    func module(of mapping: Mapping, at place: Place) -> Module? {
        let key = FileIdentity(device: mapping.device, inode: mapping.inode)
        // It is held open, so that no other file can have got its inode; but it can have been overwritten.
        if let known = byIdentity[key], known.isUnchanged { return known }
        guard let file = open(mapping, at: place) else { return nil }
        return module(of: file, mapping, at: place)
    }

    private func module(of file: OpenFile, _ mapping: Mapping, at place: Place) -> Module? {
        filesOpened += 1
        if let known = byIdentity[file.identity], known.isUnchanged { return known }
        guard let facts = reader.facts(of: .file(file)) else { return nil }
        let made = make(.file(file), facts, path: mapping.cleanPath, identity: file.identity, at: place)
        byIdentity[file.identity] = made
        return made
    }

    /// The module of a mapping without a file that holds an ELF file: the vdso.
    func module(image bytes: [UInt8], name: String) -> Module? {
        // All processes have the same, or one of the few kinds.
        if let known = images.first(where: { $0.bytes == bytes }) { return known.module }
        guard images.count < 8, let facts = reader.facts(of: .memory(bytes)) else { return nil }
        let made = make(.memory(bytes), facts, path: name, identity: nil, at: nil)
        images.append((bytes, made))
        return made
    }

    /// Closes files that no process is left to have mapped, but for some that others may map again.
    func removeUnused() {
        guard byIdentity.count > 256 else { return }
        // One reference is the table's; the keys apart from it, or they would be another.
        let keys = Array(byIdentity.keys)
        let unused = keys.filter { isKnownUniquelyReferenced(&byIdentity[$0]) }
            .sorted { (byIdentity[$0]?.lastUse ?? 0) < (byIdentity[$1]?.lastUse ?? 0) }
        for key in unused.prefix(byIdentity.count - 256) { byIdentity[key] = nil }
        // Their inodes can become those of other files.
        byEvent = byEvent.filter { byIdentity[$0.value] != nil }
    }

    /// Has everything that lacks a debug file be read again.
    func beginAgain() {
        for module in modules where module.lacksDebugFile {
            nextNumber += 1
            module.beginAgain(number: nextNumber)
        }
    }

    private func make(
        _ source: ByteSource, _ facts: CodeFileFacts, path: String, identity: FileIdentity?, at place: Place?
    ) -> Module {
        var debugFile: DebugFile?
        let filePlace = place.flatMap { roots.place($0.directory, $0.root, path) }
        // Now, while the process's root can be reached.
        if let identity, !facts.isComplete {
            debugFile = DebugFileSearch(root: place?.root, debugRoot: debugRoot, reader: reader)
                .find(for: facts, identity: identity, path: filePlace?.path ?? path)
            filesOpened += debugFile == nil ? 0 : 1
        }
        nextNumber += 1
        return Module(
            number: nextNumber, path: path, source: source, facts: facts, debugFile: debugFile,
            reader: reader,
            place: filePlace)
    }

    /// Opens the very file that is mapped, also if it has no name any more or another has taken its name.
    private func open(_ mapping: Mapping, at place: Place) -> OpenFile? {
        if let file = OpenFile(path: place.directory + "/map_files/" + mapping.linkName) { return file }
        // That takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
        guard let root = place.root else { return nil }
        let literal = String(decoding: mapping.path, as: UTF8.self)
        for path in [mapping.cleanPath, literal] {
            if let file = OpenFile(root: root, path: path), Self.isSame(file, mapping) { return file }
        }
        if let file = OpenFile(path: place.directory + "/exe"), Self.isSame(file, mapping) { return file }
        return nil
    }

    /// Opens a file that is known to be the one that was mapped, whatever its process has become.
    private func openSame(_ mapping: Mapping, at place: Place) -> OpenFile? {
        if let file = open(mapping, at: place), Self.isSame(file, mapping) { return file }
        if let file = OpenFile(path: mapping.cleanPath), Self.isSame(file, mapping) { return file }
        return nil
    }

    private static func isSame(_ file: OpenFile, _ mapping: Mapping) -> Bool {
        guard file.identity.inode == mapping.inode else { return false }
        return file.identity.device == mapping.device || apus_devices_differ(file.descriptor) != 0
    }
}

extension Module {
    /// Whether its file is as it was; the vdso always is.
    var isUnchanged: Bool { stamp == currentStamp }
}
