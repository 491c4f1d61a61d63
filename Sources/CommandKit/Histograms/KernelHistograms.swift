// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Reporting
internal import Tracing

/// The histograms that an object's programs keep, put together from what each CPU has counted.
struct KernelHistograms {
    /// How the programs count.
    struct Scale {
        let unit: TimeUnit
        /// The width of a bucket in nanoseconds; nil for eight buckets to each power of two.
        let step: UInt64?

        /// An eighth of the unit shown, so that its powers of two are bounds of buckets.
        var countingUnit: UInt64 { max(1, unit.nanoseconds / 8) }

        func configure(_ object: borrowing OpenObject) {
            object.setConstant("histogram_unit_ns", to: countingUnit)
            object.setConstant("histogram_step_ns", to: step ?? 0)
        }

        /// The range of a bucket in nanoseconds: the inverse of bucket_of() in bpf/lib/histogram.bpf.h.
        func range(_ bucket: Int) -> (low: UInt64, high: UInt64) {
            let index = UInt64(bucket)
            if let step { return (index * step, (index + 1) * step) }
            let sub = UInt64(HISTOGRAM_SUB)
            guard index >= sub else { return (index * countingUnit, (index + 1) * countingUnit) }
            let shift = index / sub - 1
            let low = (sub + index % sub) << shift
            return (low * countingUnit, (low + 1 << shift) * countingUnit)
        }

        func distribution(_ value: UnsafePointer<histogram>) -> Distribution {
            let offset = MemoryLayout<histogram>.offset(of: \.buckets) ?? 0
            let counts = (UnsafeRawPointer(value) + offset).assumingMemoryBound(to: UInt32.self)
            let buckets = (0..<Int(HISTOGRAM_BUCKETS)).compactMap { index -> Distribution.Bucket? in
                guard counts[index] > 0 else { return nil }
                let range = range(index)
                return Distribution.Bucket(low: range.low, high: range.high, count: UInt64(counts[index]))
            }
            // Of two that count at the same time, the larger maximum may be lost.
            return Distribution(
                buckets: buckets, total: value.pointee.total_ns,
                maximum: max(value.pointee.max_ns, buckets.last?.low ?? 0))
        }
    }

    /// One histogram and whose it is.
    struct Entry {
        let id: UInt64
        let process: UInt32
        let thread: UInt32
        let comm: String
        var distribution: Distribution
    }

    let scale: Scale
    private var earlier: [UInt64: Distribution] = [:]

    init(_ scale: Scale) { self.scale = scale }

    /// All histograms since the start.
    func all(_ object: LoadedObject) -> [Entry] {
        let map: HashMap<histogram_key, histogram> = object.map("histograms")
        var entries: [UInt64: Entry] = [:]
        map.forEach { key, value in
            let found = entry(key, value)
            if entries[key.id] == nil {
                entries[key.id] = found
            } else {
                entries[key.id]?.distribution.add(found.distribution)
            }
        }
        return entries.values.filter { $0.distribution.count > 0 }
    }

    /// What has been counted since the last call.
    mutating func new(_ object: LoadedObject) -> [Entry] {
        all(object).compactMap { entry in
            var new = entry
            new.distribution = entry.distribution.since(earlier[entry.id] ?? Distribution())
            earlier[entry.id] = entry.distribution
            return new.distribution.count > 0 ? new : nil
        }
    }

    private func entry(_ key: histogram_key, _ value: UnsafePointer<histogram>) -> Entry {
        let comm = withUnsafeBytes(of: value.pointee.comm) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return Entry(
            id: key.id, process: value.pointee.process, thread: value.pointee.thread, comm: comm,
            distribution: scale.distribution(value))
    }
}
