// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import CSupport
internal import Glibc

/// How many numbers of CPUs this kernel knows, of those that are offline, too.
package func possibleCPUs() -> Int32 { max(1, libbpf_num_possible_cpus()) }

/// What makes a sampler take a sample.
package enum SamplingRate: Equatable, Sendable {
    /// So many times a second, on each CPU.
    case frequency(UInt64)
    /// Every so many counts of the event: cycles, or nanoseconds of the CPU clock.
    case period(UInt64)
}

/// One perf event on each CPU that is online, with a BPF program that takes the sample.
package final class CPUSampler {
    private let object: LoadedObject
    private let program: String
    private let rate: SamplingRate
    private let only: Int32?
    private var links: [Int32: OpaquePointer] = [:]
    /// Whether hardware cycles are counted; else it is the CPU clock.
    package let countsCycles: Bool

    /// - Parameters:
    ///   - program: a program of type perf_event.
    ///   - only: the one CPU to sample; nil for all.
    ///   - byClock: counts nanoseconds even where cycles could be counted, which pass faster and slower.
    package init(
        _ object: LoadedObject, program: String, rate: SamplingRate, only: Int32?, byClock: Bool = false
    ) throws(BPFError) {
        self.object = object
        self.program = program
        self.rate = rate
        self.only = only
        countsCycles = !byClock && Feature.hardwareCycles.isThere
        try followCPUs()
        guard !links.isEmpty else { throw BPFError("sample a CPU that is not online", code: 0) }
    }

    deinit { stop() }

    /// Starts with CPUs that have come, and lets go of those that have gone. Call now and then.
    package func followCPUs() throws(BPFError) {
        let online = Set(Self.online().filter { only == nil || $0 == only })
        for (cpu, link) in links where !online.contains(cpu) {
            bpf_link__destroy(link)
            links[cpu] = nil
        }
        for cpu in online where links[cpu] == nil { try start(cpu) }
    }

    private func start(_ cpu: Int32) throws(BPFError) {
        let type = countsCycles ? PERF_TYPE_HARDWARE.rawValue : PERF_TYPE_SOFTWARE.rawValue
        let config = countsCycles ? PERF_COUNT_HW_CPU_CYCLES.rawValue : PERF_COUNT_SW_CPU_CLOCK.rawValue
        let descriptor: Int32
        switch rate {
        case .frequency(let hertz): descriptor = apus_sampling_event_open(type, UInt64(config), cpu, hertz, 1)
        case .period(let counts): descriptor = apus_sampling_event_open(type, UInt64(config), cpu, counts, 0)
        }
        guard descriptor >= 0 else {
            let advice =
                errno == EINVAL
                ? "the rate may be above the limit in /proc/sys/kernel/perf_event_max_sample_rate" : nil
            throw BPFError("sample CPU \(cpu)", code: errno, advice: advice)
        }
        links[cpu] = try object.attach(program, toPerfEvent: descriptor)
    }

    package func stop() {
        for link in links.values { bpf_link__destroy(link) }
        links = [:]
    }

    /// How many CPUs are sampled.
    package var count: Int { links.count }

    /// The CPUs that are online.
    static func online() -> [Int32] {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let descriptor = open("/sys/devices/system/cpu/online", O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        let length = read(descriptor, &bytes, bytes.count)
        return cpuList(String(decoding: bytes.prefix(max(0, length)), as: UTF8.self))
    }

    /// "0-3,8" as 0, 1, 2, 3, 8; ranges beyond what kernels can have are left out.
    package static func cpuList(_ text: String) -> [Int32] {
        text.split { !$0.isNumber && $0 != "-" }.flatMap { range -> [Int32] in
            let ends = range.split(separator: "-").compactMap { Int32($0) }
            guard let first = ends.first, let last = ends.last, first <= last, last < 8192 else { return [] }
            return Array(first...last)
        }
    }
}
