// SPDX-License-Identifier: Apache-2.0

/// Code that a program has copied onto memory of its own, in its place, to have it on huge pages: node does, HHVM, Chrome.
/// /proc/PID/maps then has memory without a file there, between other parts of the file.
struct CopiedCode {
    /// How far to look for the other parts of a file, in mappings.
    private static let reach = 4
    private static let sampleBytes = 64

    private let all: [Mapping]
    private let memory: ByteSource?
    private let module: (Mapping) -> Module?

    /// - Parameters:
    ///   - maps: what /proc/PID/maps says.
    ///   - memory: the process's; nil if it may not be read.
    ///   - module: the ELF file that a mapping shows.
    init(_ maps: [UInt8], memory: ByteSource?, module: @escaping (Mapping) -> Module?) {
        all = Mapping.all(in: maps)
        self.memory = memory
        self.module = module
    }

    /// What file a mapping of a program's own memory is a copy of, as if it were mapped there, and its module.
    func origin(of mapping: Mapping) -> (mapping: Mapping, module: Module)? {
        let place = firstIndex(from: mapping.start)
        guard place < all.count, all[place].start == mapping.start else { return nil }
        let before = all[..<place].suffix(Self.reach).last { $0.inode != 0 && !$0.isOwnMemory }
        let after = all[(place + 1)...].prefix(Self.reach).first { $0.inode != 0 && !$0.isOwnMemory }
        for neighbour in [before, after].compactMap({ $0 }) {
            guard let module = module(neighbour) else { continue }
            for bias in module.segments.biases(ofOffset: neighbour.offset, at: neighbour.start) {
                guard let offset = module.segments.codeOffset(of: mapping.start..<mapping.end, bias: bias),
                    hasSameBytes(mapping, module, offset)
                else { continue }
                return (mapping.copied(from: neighbour, offset: offset), module)
            }
        }
        return nil
    }

    /// The number of the first mapping that starts at an address or above.
    private func firstIndex(from address: UInt64) -> Int {
        var low = 0
        var high = all.count
        while low < high {
            let middle = (low + high) / 2
            if all[middle].start < address { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Compares some of the code: probes and the program itself may have changed a little of it.
    private func hasSameBytes(_ mapping: Mapping, _ module: Module, _ offset: UInt64) -> Bool {
        guard let memory else { return true }
        let length = mapping.end - mapping.start
        var same = 0
        var compared = 0
        for eighth in 0..<UInt64(8) {
            let place = length / 8 * eighth
            let bytes = memory.bytes(at: mapping.start + place, upTo: Self.sampleBytes)
            // Memory that cannot be read says nothing; padding is the same everywhere.
            guard !bytes.isEmpty, bytes.contains(where: { $0 != 0 }) else { continue }
            compared += 1
            if module.source.bytes(at: offset &+ place, upTo: bytes.count) == bytes { same += 1 }
        }
        return compared > 0 && same * 2 >= compared
    }
}

extension Symbolizer {
    /// Executable mappings of a process, those that are copies of a file's code as if the file were mapped there.
    func codeMappings(_ maps: [UInt8], at place: ModuleRegistry.Place) -> (
        mappings: [Mapping], copies: [Mapping: Module]
    ) {
        var mappings = Mapping.executable(in: maps)
        guard mappings.contains(where: \.isOwnMemory) else { return (mappings, [:]) }
        let memory = OpenFile(path: place.directory + "/mem").map { ByteSource.file($0) }
        let copied = CopiedCode(maps, memory: memory) { [registry] in registry.module(of: $0, at: place) }
        var copies: [Mapping: Module] = [:]
        for index in mappings.indices where mappings[index].isOwnMemory {
            guard let origin = copied.origin(of: mappings[index]) else { continue }
            mappings[index] = origin.mapping
            copies[origin.mapping] = origin.module
        }
        return (mappings, copies)
    }

    /// Looks at a process that has mapped memory of its own where it had a file's code: it may have copied it there.
    ///
    /// - Returns: whether it has.
    func isCopy(_ mapping: Mapping, in image: ProcessImage, process: Int32) -> Bool {
        guard mapping.isOwnMemory else { return false }
        if image.isCopy(mapping) { return true }
        guard image.hadModule(at: mapping.start), image.copyLooks < ProcessImage.mostCopyLooks else {
            return false
        }
        image.copyLooks += 1
        observe(process: process)
        return image.isCopy(mapping)
    }
}
