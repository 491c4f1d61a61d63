// SPDX-License-Identifier: Apache-2.0
internal import Glibc
package import Processes
package import Symbolization

/// A file with code, and what it is called.
package struct CodeFile {
    package let path: String
    package let file: OpenFile
    package let elf: ELFFile

    init?(path: String, opening name: String) { self.init(path: path, OpenFile(path: name)) }

    init?(path: String, _ file: OpenFile?) {
        guard let file, let elf = ELFFile(.file(file)), elf.is64 else { return nil }
        self.path = path
        self.file = file
        self.elf = elf
    }
}

/// Finds the files that names such as "c", "libssl.so.3", "bash" or a path stand for.
package enum CodeFiles {
    /// The files with code of a process, the program itself first.
    package static func of(process: Int32, proc: ProcFS = ProcFS()) -> [CodeFile] {
        let thread = proc.livingThread(of: process)
        return mappings(of: thread, proc).compactMap { open($0, thread, proc) }
    }

    /// The file that a name stands for; nil if there is none that holds code of 64 bits.
    ///
    /// - Parameter process: whose files come first, as it sees them; nil for those of the machine.
    package static func find(_ name: String, process: Int32?, proc: ProcFS = ProcFS()) -> CodeFile? {
        // Of a process whose first thread has ended, /proc has the files at another one.
        if let process = process.map(proc.livingThread) {
            if let mapping = mappings(of: process, proc).first(where: { matches($0.cleanPath, name) }),
                let file = open(mapping, process, proc)
            {
                return file
            }
            // Not mapped yet, perhaps. What begins elsewhere than at a root begins where we are, as for a shell.
            if name.hasPrefix("/") { return inRoot("\(proc.root)/\(process)/root", name) }
        }
        if name.contains("/") { return CodeFile(path: name, opening: name) }
        return inLibraryFolders(name) ?? inSearchPath(name)
    }

    /// A path from another root, which is also where absolute links begin.
    private static func inRoot(_ root: String, _ name: String) -> CodeFile? {
        let handle = Glibc.open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard handle >= 0 else { return nil }
        defer { close(handle) }
        if let file = CodeFile(path: name, OpenFile(root: handle, path: name)) { return file }
        // Those of /proc lead to files by themselves, and are not followed there.
        return name.hasPrefix("/proc/") ? CodeFile(path: name, opening: root + name) : nil
    }

    private static func mappings(of process: Int32, _ proc: ProcFS) -> [Mapping] {
        guard let bytes = readFile("\(proc.root)/\(process)/maps", limit: 1 << 26) else { return [] }
        var seen: Set<FileIdentity> = []
        return Mapping.executable(in: bytes).filter { mapping in
            mapping.inode != 0
                && seen.insert(FileIdentity(device: mapping.device, inode: mapping.inode)).inserted
        }
    }

    /// The very file that is mapped, also if another has taken its name.
    private static func open(_ mapping: Mapping, _ process: Int32, _ proc: ProcFS) -> CodeFile? {
        let folder = "\(proc.root)/\(process)"
        let path = mapping.cleanPath
        // That takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
        if let file = CodeFile(path: path, opening: "\(folder)/map_files/\(mapping.linkName)") { return file }
        guard let file = CodeFile(path: path, opening: folder + "/root" + path),
            file.file.identity.inode == mapping.inode
        else { return nil }
        return file
    }

    private static func matches(_ path: String, _ name: String) -> Bool {
        if path == name { return true }
        let last = path.split(separator: "/").last.map(String.init) ?? path
        return last == name || last.hasPrefix("lib\(name).so") || last.hasPrefix("lib\(name)-")
            || last.hasPrefix("\(name).so")
    }

    private static func inLibraryFolders(_ name: String) -> CodeFile? {
        for folder in libraryFolders() {
            for candidate in ["lib\(name).so", name] where candidate != name || name.contains(".so") {
                // The plain name is often a linker script: then the one with a version is the library.
                if let file = CodeFile(path: "\(folder)/\(candidate)", opening: "\(folder)/\(candidate)") {
                    return file
                }
                let versions = directoryEntries(folder, limit: 1 << 16).filter {
                    $0.hasPrefix(candidate + ".")
                }.sorted {
                    ($0.utf8.count, $0) < ($1.utf8.count, $1)
                }
                for version in versions {
                    if let file = CodeFile(path: "\(folder)/\(version)", opening: "\(folder)/\(version)") {
                        return file
                    }
                }
            }
        }
        return nil
    }

    /// Where the dynamic linker looks: the folders of ld.so.conf(5), and its own.
    private static func libraryFolders() -> [String] {
        let files =
            ["/etc/ld.so.conf"]
            + directoryEntries("/etc/ld.so.conf.d", limit: 1 << 12).sorted().map { "/etc/ld.so.conf.d/" + $0 }
        let configured = files.flatMap { file in
            String(decoding: readFile(file) ?? [], as: UTF8.self).split(separator: "\n")
                .filter { $0.hasPrefix("/") }.map(String.init)
        }
        return configured + ["/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    }

    private static func inSearchPath(_ name: String) -> CodeFile? {
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        for folder in path.split(separator: ":") {
            if let file = CodeFile(path: "\(folder)/\(name)", opening: "\(folder)/\(name)") { return file }
        }
        return nil
    }
}
