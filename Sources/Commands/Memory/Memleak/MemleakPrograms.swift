// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Tracing

/// Which programs a run of memleak needs, and what they are told.
extension MemleakRun {
    func configure(_ object: borrowing OpenObject, byTables: Bool) throws {
        var config = try config()
        config.by_tables = byTables ? 1 : 0
        object.setConstant("memleak_config", to: config)
        try object.resize("stacks", to: options.stackStorage)
        try object.resize("blocks", to: options.mappings ? 1 : options.mostBlocks)
        try object.resize("stack_totals", to: wantsTotals ? options.stackStorage : 1)
        if options.sampleBytes != nil { object.setConstant("sample_distances", to: SampleDistances.table) }
        if process == nil || options.mappings {
            for program in [
                "user_session", "user_entry", "user_return", "thread_ended", "task_begins",
                "task_begins_again",
            ] { object.disable(program) }
            for program in AllocatorProbes.entryPrograms { object.disable(program) }
            try object.resize("threads", to: 1)
            try object.resize("spaces", to: 1)
            try object.resize("space_numbers", to: 1)
            try object.resize("space_owners", to: 1)
        } else {
            AllocatorProbes.configure(object, way)
        }
        if !options.mappings {
            for program in [
                "mapping_begins", "mapping_begins_event", "mapping_returns", "mapping_returns_event",
            ] { object.disable(program) }
        }
        if process != nil {
            // Memleak has its own.
            for program in ["follow_fork", "follow_fork_again", "follow_exit"] { object.disable(program) }
            if byTables, !options.follow {
                // Of one process.
                try object.resize("unwind_processes", to: 64)
                // As many as a process may have by default (vm.max_map_count), twice while a list takes another's place.
                try object.resize("unwind_mappings", to: 131_072)
                try object.resize("unwind_pages", to: 32_768)
                try object.resize("unwind_rules", to: 16_384)
            }
            for program in [
                "kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node", "kfree",
                "kmem_cache_free", "mm_page_alloc", "mm_page_free", "percpu_alloc_percpu",
                "percpu_alloc_before_5_18", "percpu_free_percpu",
            ] { object.disable(program) }
        } else {
            object.disable("program_executed")
            try chooseKernelPrograms(object)
        }
    }

    private func chooseKernelPrograms(_ object: borrowing OpenObject) throws {
        let types = try session.kernelTypes()
        let general = [
            "kmalloc", "kmalloc_node", "kmem_cache_alloc", "kmem_cache_alloc_node", "kfree",
            "kmem_cache_free",
            "mm_page_alloc", "mm_page_free",
        ]
        let percpu = ["percpu_alloc_percpu", "percpu_alloc_before_5_18", "percpu_free_percpu"]
        for program in options.percpu ? general : percpu { object.disable(program) }
        guard !options.percpu else {
            let isNew = types.tracepointArguments("percpu_alloc_percpu") ?? 0 >= 10
            object.disable(isNew ? "percpu_alloc_before_5_18" : "percpu_alloc_percpu")
            return
        }
        // The variants for nodes were merged with the others in 6.1.
        for program in general where types.tracepointArguments(program) == nil { object.disable(program) }
    }

    private var wantsTotals: Bool { !options.mappings && options.readsTotals }

    private func config() throws -> memleak_config {
        var config = memleak_config()
        config.began_ns = BlockClock.began
        config.least_bytes = options.least
        config.most_bytes = options.most ?? UInt64.max
        config.sample_bytes = options.sampleBytes ?? 0
        config.sample_below =
            options.sampleRate > 1 ? UInt32((UInt64(1) << 32) / UInt64(options.sampleRate)) : 0
        config.process = UInt32(process ?? 0)
        config.stop_at_exec = session.launchedProcess != nil ? 1 : 0
        config.totals = wantsTotals ? 1 : 0
        config.follow = options.follow ? 1 : 0
        config.trace = options.traceCalls ? 1 : 0
        guard process == nil else { return config }
        let types = try session.kernelTypes()
        let hasOwnEvent = types.hasStruct("trace_event_raw_kmem_cache_alloc")
        config.cache_objects_have_cache = hasOwnEvent ? 1 : 0
        config.kmalloc_names_cache = !hasOwnEvent && types.tracepointArguments("kmalloc") == 6 ? 1 : 0
        return config
    }
}

/// Distances between samples, as multiples of their mean: the quantiles of the exponential distribution.
enum SampleDistances {
    /// As programs have them: in 1/65536.
    static var table: sample_distances {
        let count = Int(SAMPLE_DISTANCES)
        var distances = (0..<count).map { -log(1 - (Double($0) + 0.5) / Double(count)) }
        // The middle of an interval is not its mean, least so of the last one: scaled, the mean of all is right.
        let mean = distances.reduce(0, +) / Double(count)
        distances = distances.map { $0 / mean }
        var table = sample_distances()
        withUnsafeMutableBytes(of: &table) { bytes in
            for (index, distance) in distances.enumerated() {
                bytes.storeBytes(
                    of: UInt32((distance * 65_536).rounded()), toByteOffset: 4 * index, as: UInt32.self)
            }
        }
        return table
    }
}
