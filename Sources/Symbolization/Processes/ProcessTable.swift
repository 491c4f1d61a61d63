// SPDX-License-Identifier: Apache-2.0

/// The processes that are known, each with the programs that it has run one after the other, and others that had
/// its ID before.
struct ProcessTable {
    /// How many programs that are over are kept, so that what is still under way about them finds them.
    static let keptBriefly = 4096
    /// How many of those are kept for longer that somebody has asked to keep.
    static let keptLonger = 32_768

    private var images: [Int32: [ProcessImage]] = [:]
    private var past = Queue()
    private var wanted = Queue()
    /// How many were given up.
    private(set) var dropped = 0

    /// Every image, in no order.
    var all: some Sequence<ProcessImage> { images.values.joined() }

    var processes: [Int32] { Array(images.keys) }

    /// What a process runs now, or has run last.
    func current(_ process: Int32) -> ProcessImage? { images[process]?.last }

    /// What a process ran at a time; its first program if the time is before all of them.
    func image(of process: Int32, at time: UInt64) -> ProcessImage? {
        guard let known = images[process] else { return nil }
        return known.last { $0.since <= time } ?? known.first
    }

    /// What a process ran at a time, or the last before that had code at an address: a task that executes a program
    /// has its new mappings for a while before it leaves the old one's code. By the address alone without a time.
    func image(of process: Int32, at time: UInt64?, with address: UInt64) -> ProcessImage? {
        guard let known = images[process] else { return nil }
        let started = time.map { time in known.prefix { $0.since <= time } } ?? known[...]
        return started.last { $0.region(at: address, time: time) != nil } ?? started.last ?? known.first
    }

    /// Keeps what a process has run so far, or until a time, and what it will execute.
    func keep(_ process: Int32, until time: UInt64 = .max) {
        for image in images[process] ?? [] where image.since <= time { image.isWanted = true }
    }

    /// Makes an image the current one.
    mutating func begin(_ image: ProcessImage, for process: Int32) {
        retire(process)
        images[process, default: []].append(image)
    }

    /// Notes that what a process runs is over; it stays the current one until another begins.
    mutating func retire(_ process: Int32) {
        guard let image = current(process), !image.isOver else { return }
        image.isOver = true
        past.append(process, image)
        while past.count > Self.keptBriefly, let (process, oldest) = past.removeFirst() {
            if oldest.isWanted { wanted.append(process, oldest) } else { drop(oldest, of: process) }
        }
        while wanted.count > Self.keptLonger, let (process, oldest) = wanted.removeFirst() {
            drop(oldest, of: process)
        }
    }

    /// Keeps what is over no longer than what nobody has asked for.
    mutating func release() {
        while let (process, oldest) = wanted.removeFirst() { drop(oldest, of: process) }
        for image in past.all { image.isWanted = false }
    }

    /// Forgets a process with all that it has run.
    mutating func remove(_ process: Int32) -> [ProcessImage] { images.removeValue(forKey: process) ?? [] }

    private mutating func drop(_ image: ProcessImage, of process: Int32) {
        guard let index = images[process]?.firstIndex(where: { $0 === image }) else { return }
        dropped += 1
        if images[process]?.count == 1 {
            images[process] = nil
        } else {
            images[process]?.remove(at: index)
        }
    }

    /// First in, first out.
    private struct Queue {
        private var entries: [(process: Int32, image: ProcessImage)] = []
        private var first = 0

        var count: Int { entries.count - first }
        var all: some Sequence<ProcessImage> { entries[first...].lazy.map(\.image) }

        mutating func append(_ process: Int32, _ image: ProcessImage) { entries.append((process, image)) }

        mutating func removeFirst() -> (Int32, ProcessImage)? {
            guard first < entries.count else { return nil }
            defer {
                first += 1
                // Now and then, so that each costs next to nothing.
                if first > 1024, first > entries.count / 2 {
                    entries.removeFirst(first)
                    first = 0
                }
            }
            return entries[first]
        }
    }
}
