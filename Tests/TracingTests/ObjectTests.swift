// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Testing

@testable import Tracing

private let objectNames = ObjectImage.all.map(\.name)

/// Of all embedded objects, as any user: opening one asks nothing of the kernel.
@Suite struct ObjectTests {
    /// Whether what a source file names is there: in all objects if all pass through the file, else in one of those
    /// that it opens, or in any if it opens none.
    private func isThere(_ use: SourceNames.Use, _ names: (ObjectImage) throws -> [String]) throws -> Bool {
        let having = try ObjectImage.all.filter { try names($0).contains(use.name) }.map(\.name)
        if use.isShared { return having == objectNames }
        return !having.isEmpty && (use.objects.isEmpty || !Set(having).isDisjoint(with: use.objects))
    }

    @Test func someAreEmbeddedAndTheirNamesDiffer() {
        #expect(!objectNames.isEmpty)
        #expect(Set(objectNames).count == objectNames.count)
    }

    @Test(arguments: objectNames)
    func opens(name: String) throws {
        let image = ObjectImage.named(name)
        withExtendedLifetime(image) { #expect($0.bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46])) }
        _ = try OpenObject(image)
    }

    @Test func bytesAreHeldAsLongAsTheirImage() {
        var image: ObjectImage? = ObjectImage.named(objectNames[0])
        weak let memory = image?.owner
        #expect(memory != nil)
        image = nil
        #expect(memory == nil)
    }

    /// What a ring has mapped before something fails.
    @Test func mappingsAreGivenBack() throws {
        let path = NSTemporaryDirectory() + "apus-mapped-\(UUID().uuidString)"
        try Data(count: 4096).write(to: URL(fileURLWithPath: path))
        defer { unlink(path) }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        defer { close(descriptor) }
        func mapped() throws -> Int {
            // Foundation takes the first short read of a file in /proc for its end.
            let file = try #require(FileHandle(forReadingAtPath: "/proc/self/maps"))
            var text = Data()
            while let more = try file.read(upToCount: 1 << 16), !more.isEmpty { text += more }
            return String(decoding: text, as: UTF8.self).split(separator: "\n")
                .filter { $0.hasSuffix(path) }.count
        }
        do {
            let mapping = try EventRing.Mapping(descriptor, at: 0, bytes: 4096, PROT_READ)
            #expect(try mapped() == 1)
            #expect(throws: BPFError.self) {
                _ = try EventRing.Mapping(-1, at: 0, bytes: 4096, PROT_READ)
            }
            #expect(mapping.start.load(as: UInt8.self) == 0)
        }
        #expect(try mapped() == 0)
    }

    @Test func whatIsNoObjectIsRefusedWithItsName() {
        let bytes = Array("not an ELF file".utf8)
        bytes.withUnsafeBytes { bytes in
            let error = #expect(throws: BPFError.self) {
                _ = try OpenObject(ObjectImage(name: "broken", bytes: bytes))
            }
            #expect(error?.description.hasPrefix("cannot open the BPF object broken: ") == true)
        }
    }

    @Test(arguments: objectNames)
    func everyProgramHasAKnownHook(name: String) throws {
        let known = [
            "tp_btf/", "raw_tp", "tracepoint", "tp/", "perf_event", "uprobe", "uretprobe", "usdt",
            "kprobe", "kretprobe", "fentry/", "fexit/", "iter/", "iter.s/",
        ]
        let programs = try ObjectLayout.programs(of: ObjectImage.named(name))
        #expect(!programs.isEmpty)
        for program in programs {
            #expect(known.contains { program.section.hasPrefix($0) }, "\(program.name): \(program.section)")
        }
    }

    @Test(arguments: objectNames)
    func isLicensedForTheHelpersItCalls(name: String) {
        // The verifier compares it with a list of its own (include/linux/license.h).
        withExtendedLifetime(ObjectImage.named(name)) {
            #expect(ELFSections($0.bytes).contents("license") == "Dual BSD/GPL\0")
        }
    }

    @Test(arguments: layouts.keys.sorted())
    func theCompilersAgreeOnLayouts(structure: String) throws {
        let sizes = try ObjectImage.all.compactMap { try ObjectLayout.structSize(structure, in: $0) }
        #expect(!sizes.isEmpty, "no object has struct \(structure)")
        for size in sizes { #expect(size == layouts[structure]) }
    }

    @Test func anUnknownStructOrVariableHasNoSize() throws {
        for image in ObjectImage.all {
            #expect(try ObjectLayout.structSize("no_such_struct", in: image) == nil)
            #expect(try ObjectLayout.variableSize("no_such_variable", in: image) == nil)
        }
    }

    @Test(arguments: objectNames)
    func sharedMapsAreAsTheFiltersFillThem(name: String) throws {
        let maps = try ObjectLayout.maps(of: ObjectImage.named(name))
        for expected in [
            ObjectLayout.MapLayout(name: "filter_processes", keySize: 4, valueSize: 1),
            ObjectLayout.MapLayout(name: "filter_threads", keySize: 4, valueSize: 1),
        ] { #expect(maps.contains(expected)) }
    }

    @Test func theRingIsThere() throws {
        let maps = try ObjectLayout.maps(of: ObjectImage.named("opensnoop"))
        #expect(maps.contains(ObjectLayout.MapLayout(name: "events", keySize: 0, valueSize: 0)))
    }

    @Test(arguments: try SourceNames().programs)
    func programsThatSwiftNamesExist(use: SourceNames.Use) throws {
        #expect(try isThere(use) { try ObjectLayout.programs(of: $0).map(\.name) })
    }

    @Test(arguments: try SourceNames().maps)
    func mapsThatSwiftNamesExist(use: SourceNames.Use) throws {
        #expect(try isThere(use) { try ObjectLayout.maps(of: $0).map(\.name) })
    }

    @Test(arguments: try SourceNames().variables)
    func variablesThatSwiftNamesHaveTheirSize(use: SourceNames.Use) throws {
        // What is no number is named after its structure.
        let sizes = layouts[use.name].map { [$0] } ?? [MemoryLayout<UInt32>.size, MemoryLayout<UInt64>.size]
        #expect(
            try isThere(use) { image in
                let size = try ObjectLayout.variableSize(use.name, in: image)
                return size.map(sizes.contains) == true ? [use.name] : []
            })
    }

    @Test(arguments: try SourceNames().decoded)
    func decodedTypesAreCompared(use: SourceNames.Use) {
        #expect(layouts[use.name] != nil, "no header that Swift sees has struct \(use.name)")
    }

    @Test func theSourcesAreReadAtAll() throws {
        // Were a call renamed, the tests above would have nothing to test.
        let names = try SourceNames()
        func found(_ uses: Set<SourceNames.Use>) -> Set<String> { Set(uses.map(\.name)) }
        #expect(
            found(names.programs).isSuperset(of: ["io_uring_submitted", "interrupt_entry", "follow_fork"]))
        #expect(
            found(names.maps).isSuperset(of: [
                "filter_processes", "io_uring_pending", "histograms", "events",
            ]))
        #expect(found(names.variables).isSuperset(of: ["task_filter", "opensnoop_config", "event_channel"]))
        #expect(found(names.decoded).isSuperset(of: ["open_event"]))
    }

    /// Each command configures what it opens, so that an object without a name is one whose sources were not read.
    @Test(arguments: objectNames)
    func namesOfEveryObjectAreFound(name: String) throws {
        let names = try SourceNames()
        #expect(names.variables.union(names.maps).contains { $0.objects.contains(name) })
    }

    @Test func everyObjectIsUsedAndEveryUsedOneIsThere() throws {
        #expect(try SourceNames().opened == Set(objectNames))
    }

    @Test(arguments: objectNames)
    func canBeConfiguredAsTheCommandsDo(name: String) throws {
        let object = try OpenObject(ObjectImage.named(name))
        object.setConstant("task_filter", to: task_filter())
        try object.resize("filter_processes", to: 65_536)
        object.disable("follow_fork")
    }
}
