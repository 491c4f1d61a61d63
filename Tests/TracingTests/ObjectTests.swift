// SPDX-License-Identifier: Apache-2.0
import CBPFPrograms
import Foundation
import Testing

@testable import Tracing

/// Every C struct that crosses from the programs to Swift. One that is missing here fails a test.
private let layouts: [String: Int] = [
    "event_channel": MemoryLayout<event_channel>.size,
    "task_filter": MemoryLayout<task_filter>.size,
    "opensnoop_config": MemoryLayout<opensnoop_config>.size,
    "open_event": MemoryLayout<open_event>.size,
    "execsnoop_config": MemoryLayout<execsnoop_config>.size,
    "exec_event": MemoryLayout<exec_event>.size,
    "exitsnoop_config": MemoryLayout<exitsnoop_config>.size,
    "exit_event": MemoryLayout<exit_event>.size,
    "syscount_config": MemoryLayout<syscount_config>.size,
    "call_key": MemoryLayout<call_key>.size,
    "call_total": MemoryLayout<call_total>.size,
    "filetop_config": MemoryLayout<filetop_config>.size,
    "file_calls": MemoryLayout<file_calls>.size,
    "file_key": MemoryLayout<file_key>.size,
    "file_total": MemoryLayout<file_total>.size,
    "file_event": MemoryLayout<file_event>.size,
    "sched_config": MemoryLayout<sched_config>.size,
    "wait_event": MemoryLayout<wait_event>.size,
    "wait_run": MemoryLayout<wait_run>.size,
    "histogram": MemoryLayout<histogram>.size,
    "histogram_key": MemoryLayout<histogram_key>.size,
    "profile_config": MemoryLayout<profile_config>.size,
    "profile_event": MemoryLayout<profile_event>.size,
    "offcputime_config": MemoryLayout<offcputime_config>.size,
    "block_key": MemoryLayout<block_key>.size,
    "block_histogram_key": MemoryLayout<block_histogram_key>.size,
    "block_total": MemoryLayout<block_total>.size,
    "blocked_task": MemoryLayout<blocked_task>.size,
    "process_event": MemoryLayout<process_event>.size,
    "stack_trace": MemoryLayout<stack_trace>.size,
    "deferred_stack": MemoryLayout<deferred_stack>.size,
    "unwind_config": MemoryLayout<unwind_config>.size,
    "unwind_mapping": MemoryLayout<unwind_mapping>.size,
    "unwind_page": MemoryLayout<unwind_page>.size,
    "unwind_process": MemoryLayout<unwind_process>.size,
    "unwind_rows": MemoryLayout<unwind_rows>.size,
    "unwind_rule": MemoryLayout<unwind_rule>.size,
    "memleak_config": MemoryLayout<memleak_config>.size,
    "memleak_state": MemoryLayout<memleak_state>.size,
    "memleak_event": MemoryLayout<memleak_event>.size,
    "sample_distances": MemoryLayout<sample_distances>.size,
    "live_block": MemoryLayout<live_block>.size,
    "funclatency_config": MemoryLayout<funclatency_config>.size,
    "thread_calls": MemoryLayout<thread_calls>.size,
    "user_call_key": MemoryLayout<user_call_key>.size,
    "user_call": MemoryLayout<user_call>.size,
    "stackcount_config": MemoryLayout<stackcount_config>.size,
    "counted_stack": MemoryLayout<counted_stack>.size,
    "stack_count": MemoryLayout<stack_count>.size,
    "stack_total": MemoryLayout<stack_total>.size,
    "allocator_thread": MemoryLayout<allocator_thread>.size,
]

/// Variables that are plain numbers.
private let numbers: [String: Int] = [
    "histogram_unit_ns": MemoryLayout<UInt64>.size,
    "histogram_step_ns": MemoryLayout<UInt64>.size,
    "counting": MemoryLayout<UInt32>.size,
    "unreturned_calls": MemoryLayout<UInt64>.size,
]

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
        let layout = try #require(
            layouts[use.name] ?? numbers[use.name], "add \(use.name) to the layouts of this test")
        #expect(
            try isThere(use) { try ObjectLayout.variableSize(use.name, in: $0) == layout ? [use.name] : [] })
    }

    @Test(arguments: try SourceNames().decoded)
    func decodedTypesAreCompared(use: SourceNames.Use) {
        #expect(layouts[use.name] != nil, "add \(use.name) to the layouts of this test")
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
