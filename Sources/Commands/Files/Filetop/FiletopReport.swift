// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc
internal import Processes
internal import Reporting
internal import Tracing

/// Reads and prints what filetop's programs have counted.
final class FiletopReport {
    private let session: Session
    private let display: FiletopDisplay
    private let count: Int?
    private let clearsScreen: Bool
    private let clock = RowClock()
    private let table: Table<FiletopUse>
    private var paths: [FiletopIdentity: [UInt8]] = [:]
    private var earlier: [FiletopIdentity: FiletopUse] = [:]
    private var printed = 0

    /// - Parameter count: how many prints there are, if that is bounded.
    init(_ session: Session, _ display: FiletopDisplay, count: Int?) {
        self.session = session
        self.display = display
        self.count = count
        clearsScreen = !display.keepScreen && !session.common.json && isatty(1) != 0
        let columns = FiletopColumns(clock: clock, bytes: display.bytes)
        table = Table(columns.shown, fields: columns.fields, json: session.common.json)
    }

    /// Whether another print has been asked for.
    var wantsMore: Bool { count.map { printed < $0 } ?? true }

    func name(_ event: FiletopEvent) { paths[event.identity] = event.path }

    func print(_ object: LoadedObject) throws {
        clock.wall.synchronize()
        let uses = new(object).sorted(by: isBefore)
        let most = display.rows ?? (session.common.json ? uses.count : 20)
        try session.output.write { writer in
            if !session.common.json { writeHead(to: writer) }
            table.writeHeading(to: writer)
            for use in uses.prefix(most) { table.write(use, to: writer) }
        }
        try session.output.flush()
        printed += 1
        if !wantsMore { session.loop.stop() }
    }

    private func writeHead(to writer: ByteWriter) {
        if clearsScreen {
            writer.append("\u{1b}[H\u{1b}[2J")
        } else if printed > 0 {
            writer.append("\n")
        }
        writer.append(clock.wall.nowTimeOfDay())
        let load = String(decoding: readFile("/proc/loadavg") ?? [], as: UTF8.self)
        writer.append(" loadavg: ")
        writer.append(String(load.prefix { $0 != "\n" }))
        writer.append("\n\n")
    }

    /// What has been counted since the last call.
    private func new(_ object: LoadedObject) -> [FiletopUse] {
        let map: HashMap<file_key, file_total> = object.map("totals")
        var all: [FiletopIdentity: FiletopUse] = [:]
        map.forEach { key, total in
            let identity = FiletopIdentity(key)
            all[identity] = FiletopUse(identity, total.pointee)
        }
        var starts = ProcessStarts()
        for identity in all.keys { starts.note(identity.process, identity.started) }
        var new: [FiletopUse] = []
        for (identity, use) in all {
            let total = use.since(earlier[identity])
            var rest = shown(total)
            if !total.isIdle {
                guard !rest.isIdle else { continue }
                rest.path = paths[identity] ?? []
                new.append(rest)
            } else if starts.isOver(identity.process, identity.started) {
                // The map must have room for files to come.
                map.remove(identity.key)
                all[identity] = nil
                paths[identity] = nil
            }
        }
        earlier = all
        return joined(new)
    }

    /// Without the direction that is not wanted.
    private func shown(_ use: FiletopUse) -> FiletopUse {
        var use = use
        if display.readOnly { (use.writes, use.writtenBytes) = (0, 0) }
        if display.writeOnly { (use.reads, use.readBytes) = (0, 0) }
        return use
    }

    /// Puts together what is one file: one of an overlay gets its generation when it is written to for the first time.
    private func joined(_ uses: [FiletopUse]) -> [FiletopUse] {
        struct Place: Hashable {
            let process: UInt32
            let started: UInt64
            let device: UInt32
            let inode: UInt64
            let path: [UInt8]

            init(_ use: FiletopUse) {
                process = use.identity.process
                started = use.identity.started
                device = use.identity.device
                inode = use.identity.inode
                path = use.path
            }
        }
        var found: [FiletopUse] = []
        var unborn: [Place: FiletopUse] = [:]
        for use in uses where use.kind == .regular && use.identity.generation == 0 {
            unborn[Place(use)] = use
        }
        guard !unborn.isEmpty else { return uses }
        for var use in uses where use.kind != .regular || use.identity.generation != 0 {
            if use.kind == .regular, let part = unborn.removeValue(forKey: Place(use)) { use.add(part) }
            found.append(use)
        }
        return found + unborn.values
    }

    private func isBefore(_ first: FiletopUse, _ second: FiletopUse) -> Bool {
        switch display.order {
        case .all: Self.all(first) > Self.all(second)
        case .reads: first.reads > second.reads
        case .writes: first.writes > second.writes
        case .rbytes: first.readBytes > second.readBytes
        case .wbytes: first.writtenBytes > second.writtenBytes
        case .pid: first.identity.process < second.identity.process
        case .comm: first.comm < second.comm
        case .file: first.path.lexicographicallyPrecedes(second.path)
        }
    }

    /// As BCC sorts by default.
    private static func all(_ use: FiletopUse) -> UInt64 {
        use.reads &+ use.writes &+ use.readBytes &+ use.writtenBytes
    }
}

/// The columns of filetop, each declared once.
struct FiletopColumns {
    private let clock: RowClock
    private let bytes: Bool

    init(clock: RowClock, bytes: Bool) {
        self.clock = clock
        self.bytes = bytes
    }

    var shown: [Column<FiletopUse>] {
        [process, comm, reads, writes, readBytes, writtenBytes, kind, path]
    }

    var fields: [Column<FiletopUse>] {
        [time, process, start, comm, reads, writes, readBytes, writtenBytes, kind, device, inode, path]
    }

    private var time: Column<FiletopUse> {
        Column("TIME", key: "time_ns") { [clock] cell, _ in cell.integer(clock.wall.nowUnixNanoseconds) }
    }

    private var process: Column<FiletopUse> {
        Column("PID", width: taskIDWidth, key: "pid") { $0.unsigned(UInt64($1.identity.process)) }
    }

    private var start: Column<FiletopUse> {
        Column("START", key: "start_ns") { [clock] cell, use in
            cell.integer(clock.start(use.identity.started))
        }
    }

    private var comm: Column<FiletopUse> { Column("COMM", width: 16, key: "comm") { $0.text($1.comm) } }

    private var reads: Column<FiletopUse> {
        Column("READS", width: 6, .left, key: "reads") { $0.unsigned($1.reads) }
    }

    private var writes: Column<FiletopUse> {
        Column("WRITES", width: 6, .left, key: "writes") { $0.unsigned($1.writes) }
    }

    private var readBytes: Column<FiletopUse> {
        Column(bytes ? "R_BYTES" : "R_Kb", width: bytes ? 12 : 7, key: "read_bytes") { [bytes] cell, use in
            cell.unsigned(bytes || cell.form == .json ? use.readBytes : use.readBytes / 1024)
        }
    }

    private var writtenBytes: Column<FiletopUse> {
        Column(bytes ? "W_BYTES" : "W_Kb", width: bytes ? 12 : 7, key: "written_bytes") { [bytes] cell, use in
            cell.unsigned(bytes || cell.form == .json ? use.writtenBytes : use.writtenBytes / 1024)
        }
    }

    private var kind: Column<FiletopUse> {
        Column("T", width: 1, key: "type") { cell, use in
            if cell.form == .json { cell.text(use.kind.rawValue) } else { cell.word(use.kind.letter) }
        }
    }

    private var device: Column<FiletopUse> {
        Column("DEVICE", key: "device") { $0.text("\($1.identity.major):\($1.identity.minor)") }
    }

    private var inode: Column<FiletopUse> { Column("INODE", key: "inode") { $0.unsigned($1.identity.inode) } }

    private var path: Column<FiletopUse> {
        Column("FILE", key: "path") { cell, use in
            guard !use.path.isEmpty else {
                return cell.missing(use.kind == .unknown ? "[closed]" : "[unknown]")
            }
            use.path.withUnsafeBytes { _ = cell.text($0) }
        }
    }
}
