// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization
internal import Glibc
internal import Processes

/// An executable mapping that was just made, as the kernel tells of it.
package struct CodeMapping: Equatable, Sendable {
    package var start: UInt64
    /// In bytes.
    package var length: UInt64
    /// Of the file, in bytes.
    package var offset: UInt64
    /// Of the device that holds the file.
    package var major: UInt32
    package var minor: UInt32
    /// 0 for memory without a file.
    package var inode: UInt64
    /// Tells files apart that had the same inode number one after the other.
    package var generation: UInt64
    /// As the process sees it; "//anon" for memory without a name.
    package var path: String

    package init(
        start: UInt64, length: UInt64, offset: UInt64, major: UInt32, minor: UInt32, inode: UInt64,
        generation: UInt64, path: String
    ) {
        self.start = start
        self.length = length
        self.offset = offset
        self.major = major
        self.minor = minor
        self.inode = inode
        self.generation = generation
        self.path = path
    }
}

/// What processes do, told as it happens, instead of `observe`: then nobody is too short-lived.
///
/// Times are nanoseconds of the monotonic clock, and must not go back. A process that is first heard of by another
/// event than its fork is observed then.
extension Symbolizer {
    /// A process has mapped code. It takes the place of what was mapped there.
    package func map(process: Int32, _ code: CodeMapping, at time: UInt64 = monotonicNanoseconds()) {
        guard let mapping = Mapping(code) else { return }
        if table.current(process) == nil {
            observe(process: process)
            // /proc knows of this mapping already, unless the process is gone.
            if table.current(process) != nil { return }
            table.begin(ProcessImage(since: 0), for: process)
        }
        guard let image = table.current(process) else { return }
        if isCopy(mapping, in: image, process: process) { return }
        if image.has(mapping) { return image.date(mapping, at: time) }
        let region = region(of: mapping, generation: code.generation, process: process)
        forgetFrames(of: image)
        if image.add(region, at: time) { renewMeaning(of: image) }
        codeChanged?(process, time)
        if case .other = region.content, image.perfMap == nil { openPerfMap(of: process, image) }
    }

    /// A process has started another, which has the same mapped.
    package func fork(parent: Int32, child: Int32, at time: UInt64) {
        if parent > 0, table.current(parent) == nil { observe(process: parent) }
        withoutFirstThread.remove(child)
        let image = ProcessImage(since: time)
        if let parent = table.current(parent) { image.inherit(from: parent) }
        table.begin(image, for: child)
        codeChanged?(child, time)
        closeUnused()
    }

    /// A process has become another program, with nothing mapped so far.
    package func execute(process: Int32, at time: UInt64) {
        let image = ProcessImage(since: time)
        image.isWanted = table.current(process)?.isWanted ?? false
        renewMeaning(of: image)
        table.begin(image, for: process)
        codeChanged?(process, time)
        closeUnused()
    }

    /// A process's first thread has ended, and with it the process, unless others live on. What is known of it is kept
    /// for naming, but not forever unless `keep` was called.
    package func exit(process: Int32) {
        if table.current(process) != nil, ProcFS(root: root).hasOtherThreads(process) {
            withoutFirstThread.insert(process)
            return
        }
        withoutFirstThread.remove(process)
        table.retire(process)
        codeChanged?(process, nil)
    }

    /// Other threads of a process than its first have ended.
    package func exitThread(of process: Int32) {
        if withoutFirstThread.contains(process) { exit(process: process) }
    }

    /// Since when a process's addresses have stood for what they stood for at a time, to be given to `frames`: since
    /// it began its program, or other code took the place of some of that. 0 if that is not known. Keeps what is known
    /// of it, as `keep` does.
    package func moment(of process: Int32, at time: UInt64) -> UInt64 {
        table.keep(process, until: time)
        return table.image(of: process, at: time)?.moment(at: time) ?? 0
    }

    /// Tells what a process's addresses stand for from what they stood for before; 0 until there was a change.
    package func meaning(of process: Int32) -> UInt32 { table.current(process)?.meaning ?? 0 }

    func renewMeaning(of image: ProcessImage) {
        lastMeaning &+= 1
        image.meaning = lastMeaning
    }

    /// Keeps what is known of a process for naming after its end.
    /// - Returns: Whether something is known, and all of it from events: code made at run time is named by a file,
    ///   for which `observe` looks.
    package func keep(process: Int32) -> Bool {
        table.keep(process)
        return table.current(process).map { !$0.hasOther } ?? false
    }

    /// Makes up for events that were lost: observes all processes that are known.
    package func repair() {
        for process in table.processes where table.current(process)?.isOver == false {
            observe(process: process)
            if kill(process, 0) != 0, errno == ESRCH { table.retire(process) }
        }
    }

    private func region(of mapping: Mapping, generation: UInt64, process: Int32) -> ProcessImage.Region {
        let name = mapping.cleanPath
        var content = ProcessImage.Content.other
        if mapping.inode != 0 {
            let module = registry.module(
                of: mapping, generation: generation, process: directory(of: process))
            if let module { content = .module(module) }
        } else if name == "[vdso]" {
            // That of a 32-bit process may be as long as ours.
            let isOurs = mapping.start >> 32 != 0 && ownVDSO?.length == mapping.end - mapping.start
            if let module = isOurs ? ownVDSO?.module : vdso(mapping, directory(of: process)) {
                content = .module(module)
            }
        }
        return ProcessImage.Region(mapping: mapping, content: content, name: name.isEmpty ? "[anon]" : name)
    }

    private func openPerfMap(of process: Int32, _ image: ProcessImage) {
        let status = ProcessStatus(process: process, root: root)
        guard status.startTime != nil else { return }
        image.adopt(status)
        let handle = apus_open_root(directory(of: process) + "/root")
        guard handle >= 0 else { return }
        defer { close(handle) }
        if image.openPerfMap(root: handle) { counts.filesOpened += 1 }
    }

    /// Closes files that nobody has mapped any more, now and then.
    func closeUnused() {
        guard table.dropped >= droppedBefore + 1024 else { return }
        droppedBefore = table.dropped
        registry.removeUnused()
    }
}
