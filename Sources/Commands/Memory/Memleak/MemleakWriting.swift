// SPDX-License-Identifier: Apache-2.0
internal import Arithmetic
internal import CBPFPrograms
internal import Reporting
internal import Symbolization
internal import Tracing

/// Reports as text and as JSON.
extension MemleakReport {
    func write(to output: Output) throws {
        let shown = shown
        // One by one: thousands of stacks are more than should be collected.
        if options.common.json {
            for sum in shown { try output.write { writeJSON(sum, to: $0) } }
            return try output.write(writeJSONHead)
        }
        try output.write { writer in
            writer.append("[")
            writer.append(clock.nowTimeOfDay())
            writer.append("] ")
            if let title {
                writer.append("\(process ?? 0) ")
                writer.appendEscaped(title.comm)
                writer.append(": ")
            }
            writer.append("Top \(shown.count) stacks with ")
            writer.append(options.temporary ? "temporary allocations" : "outstanding allocations")
            if isEstimate {
                writer.append(options.temporary ? " (among samples)" : " (estimated from samples)")
            }
            if options.sampleRate > 1 { writer.append(" (one in \(options.sampleRate) was looked at)") }
            switch title?.cause {
            case .exit: writer.append(" when it ended")
            case .exec: writer.append(" when it executed another program")
            case .interval, .end, nil: break
            }
            writer.append(":\n")
        }
        for sum in shown { try output.write { writeText(sum, to: $0) } }
    }

    private func writeText(_ sum: Sum, to writer: ByteWriter) {
        writer.append("\t")
        if options.temporary {
            writer.append(
                "\(sum.total.temporary_bytes) bytes in \(sum.total.temporary) temporary allocations of "
                    + "\(sum.total.allocated) from stack\n")
        } else {
            writer.append("\(whole(sum.bytes)) bytes in \(whole(sum.count)) allocations from stack\n")
        }
        let hasGained = sum.gainedBytes != 0 || sum.gainedCount != 0
        if comparable > 1, !options.temporary, hasGained || options.growth {
            writer.append(
                "\t\t\(signed(sum.gainedBytes)) bytes in \(signed(sum.gainedCount)) allocations since the last "
                    + "report")
            if options.growth {
                let growths = history.courses[sum.stack]?.growths ?? 0
                writer.append(", grew in \(growths) of \(history.intervals) intervals")
            }
            writer.append("\n")
        }
        for block in (blocks[sum.stack] ?? []).sorted(by: { $0.address < $1.address }) {
            writer.append("\t\taddr = 0x\(String(block.address, radix: 16)) size = \(block.bytes)\n")
        }
        writeFrames(sum.stack, to: writer)
    }

    private func writeFrames(_ stack: UInt64, to writer: ByteWriter) {
        let frames = stacks[stack]
        guard !frames.isEmpty else {
            writer.append("\t\t[stack missing]\n")
            return
        }
        for frame in frames {
            guard frame.kind != .marker else {
                writer.append("\t\t\(frame.function ?? "")\n")
                continue
            }
            writer.append("\t\t0x")
            writer.appendNumber(frame.address, radix: 16, minimumDigits: 16)
            writer.append("\t")
            writer.appendFrame(
                frame.text(offset: true, module: false), isInlined: frame.isInlined, file: frame.file,
                line: frame.line, module: frame.function == nil ? nil : frame.module)
            writer.append("\n")
        }
    }

    func whole(_ value: Double) -> Int64 { Int64(clampingRounded: value) }

    private func signed(_ value: Double) -> String { (value < 0 ? "" : "+") + String(whole(value)) }

    private func writeJSON(_ sum: Sum, to writer: ByteWriter) {
        writer.append("{\"type\":\"stack\",\"pid\":")
        writer.append(process.map { String($0) } ?? "null")
        writer.append(",\"bytes\":\(whole(sum.bytes)),\"allocations\":\(whole(sum.count))")
        writer.append(",\"gained_bytes\":\(whole(sum.gainedBytes))")
        writer.append(",\"gained_allocations\":\(whole(sum.gainedCount))")
        writer.append(",\"estimated\":\(isEstimate)")
        if options.growth {
            let growths = history.courses[sum.stack]?.growths ?? 0
            writer.append(",\"growths\":\(growths),\"intervals\":\(history.intervals)")
        }
        if sum.total.allocated > 0 {
            writer.append(",\"total_bytes\":\(sum.total.allocated_bytes)")
            writer.append(",\"total_allocations\":\(sum.total.allocated)")
            writer.append(",\"temporary_bytes\":\(sum.total.temporary_bytes)")
            writer.append(",\"temporary_allocations\":\(sum.total.temporary)")
        }
        if options.showBlocks {
            let listed = (blocks[sum.stack] ?? []).sorted { $0.address < $1.address }
                .map { "{\"address\":\($0.address),\"bytes\":\($0.bytes)}" }
            writer.append(",\"blocks\":[\(listed.joined(separator: ","))]")
        }
        writeJSONFrames(sum.stack, to: writer)
        writer.append("}\n")
    }

    private func writeJSONFrames(_ stack: UInt64, to writer: ByteWriter) {
        writer.append(",\"frames\":[")
        for (index, frame) in stacks[stack].lazy.filter({ $0.kind != .marker }).enumerated() {
            if index > 0 { writer.append(",") }
            frame.writeJSON(to: writer)
        }
        writer.append("]")
        if let end = ends[stack], end.isKnown {
            writer.append(",\"user_stack_end\":")
            writer.appendJSONString(end.name)
        }
    }

    /// Behind the stacks of a report: what all have in sum, those that are not shown as well.
    private func writeJSONHead(to writer: ByteWriter) {
        let bytes = sums.reduce(0) { $0 + $1.bytes }
        let count = sums.reduce(0) { $0 + $1.count }
        writer.append("{\"type\":\"report\",\"number\":\(reports),\"time_ns\":")
        writer.append(String(WallClock().nowUnixNanoseconds))
        writer.append(",\"stacks\":\(sums.filter(isShown).count),\"bytes\":\(whole(bytes))")
        writer.append(",\"allocations\":\(whole(count)),\"estimated\":\(isEstimate)")
        if let title {
            writer.append(",\"pid\":\(process ?? 0),\"comm\":")
            writer.appendJSONString(title.comm)
            writer.append(",\"cause\":\"\(title.cause.rawValue)\"")
        }
        writer.append("}\n")
    }

    /// One call, for `-t`.
    func write(_ event: memleak_event, to output: Output) throws {
        let isFree = event.kind == MEMLEAK_FREED.rawValue
        let comm = withUnsafeBytes(of: event.comm, taskName)
        let address = options.isOfProcess ? event.address & ((1 << UInt64(SPACE_SHIFT)) - 1) : event.address
        try output.write { writer in
            if options.common.json {
                writer.append("{\"type\":\"\(isFree ? "free" : "allocation")\",\"time_ns\":\(event.time_ns)")
                writer.append(",\"pid\":\(event.process),\"tid\":\(event.thread),\"comm\":")
                writer.appendJSONString(comm)
                writer.append(",\"address\":\(address),\"bytes\":\(event.bytes)}\n")
                return
            }
            writer.append("(")
            writer.appendEscaped(comm)
            writer.append(" \(event.thread)) \(isFree ? "free" : "alloc") addr = 0x")
            writer.append(String(address, radix: 16))
            writer.append(" size = \(event.bytes)\n")
        }
    }

    // MARK: - Growth

    /// What all reports together say about growth: nothing, if there were too few.
    ///
    /// - Returns: a sentence for the person.
    func writeConclusion(_ object: LoadedObject, to output: Output) throws -> String {
        let intervals = history.intervals
        let who = title.map { "\(process ?? 0) \(escaped($0.comm)): " } ?? ""
        guard intervals >= GrowthHistory.fewestIntervals else {
            return
                who
                + "nothing can be said of growth after fewer than \(GrowthHistory.fewestIntervals) intervals: "
                + "trace longer, or give a shorter interval"
        }
        let verdicts = history.verdicts
        for verdict in [GrowthHistory.Verdict.levelledOff, .suspect] {
            let all = verdicts[verdict] ?? []
            let stacks = Array(all.suffix(most))
            nameStacks(object, stacks)
            try output.write { writer in
                if options.common.json {
                    for stack in stacks { writeJSON(stack, verdict, to: writer) }
                } else {
                    writer.append("[")
                    writer.append(clock.nowTimeOfDay())
                    writer.append("] Top \(stacks.count) of \(all.count) stacks that ")
                    writer.append(
                        verdict == .suspect
                            ? "grew in each of \(intervals) intervals: suspects\n"
                            : "grew at first, and then no more: perhaps caches\n")
                    for stack in stacks { writeText(course: stack, to: writer) }
                }
            }
        }
        let counts = verdicts.mapValues(\.count)
        if options.common.json { try output.write { writeJSON(counts, to: $0) } }
        return who + "\(counts[.suspect] ?? 0) stacks grew in each of \(intervals) intervals, "
            + "\(counts[.levelledOff] ?? 0) levelled off, \(counts[.irregular] ?? 0) grew now and then, "
            + "\(counts[.constant] ?? 0) did not grow"
    }

    private func writeText(course stack: UInt64, to writer: ByteWriter) {
        let course = history.courses[stack] ?? GrowthHistory.Course()
        writer.append(
            "\t\(signed(course.gainedBytes)) bytes in \(signed(course.gainedCount)) allocations since the first "
                + "report, to \(whole(course.bytes)) bytes in \(whole(course.count)) allocations from stack\n"
        )
        if course.growths < history.intervals {
            writer.append(
                "\t\tgrew in \(course.growths) of \(history.intervals) intervals, the last one of them was number "
                    + "\(course.lastGrowth)\n")
        }
        writeFrames(stack, to: writer)
    }

    private func writeJSON(_ stack: UInt64, _ verdict: GrowthHistory.Verdict, to writer: ByteWriter) {
        let course = history.courses[stack] ?? GrowthHistory.Course()
        writer.append("{\"type\":\"growth\",\"verdict\":\"\(verdict.rawValue)\"")
        writer.append(",\"bytes\":\(whole(course.bytes)),\"allocations\":\(whole(course.count))")
        writer.append(",\"grown_bytes\":\(whole(course.gainedBytes))")
        writer.append(",\"grown_allocations\":\(whole(course.gainedCount))")
        writer.append(",\"growths\":\(course.growths),\"intervals\":\(history.intervals)")
        writer.append(",\"last_growth\":\(course.lastGrowth),\"estimated\":\(isEstimate)")
        writeJSONFrames(stack, to: writer)
        writer.append("}\n")
    }

    private func writeJSON(_ counts: [GrowthHistory.Verdict: Int], to writer: ByteWriter) {
        writer.append("{\"type\":\"growth_report\",\"intervals\":\(history.intervals)")
        for verdict in GrowthHistory.Verdict.allCases {
            writer.append(",\"\(verdict.rawValue)\":\(counts[verdict] ?? 0)")
        }
        writer.append("}\n")
    }
}
