// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Glibc

/// What did not reach the output, by cause.
struct Losses: Equatable {
    var records: UInt64 = 0
    var state: UInt64 = 0
    var targets: UInt64 = 0
    var stacks: UInt64 = 0
    var totals: UInt64 = 0
    var keys: UInt64 = 0
    var skipped: UInt64 = 0
}

extension Losses {
    /// - Parameter skipped: runs that the kernel left out because the program was running already.
    init(_ counters: event_channel, skipped: UInt64 = 0) {
        records = counters.lost_records
        state = counters.lost_state
        targets = counters.lost_targets
        stacks = counters.lost_stacks
        totals = counters.lost_totals
        keys = counters.lost_keys
        self.skipped = skipped
    }
}

/// Says on stderr what was lost: as it happens, but no more than once a second, and in total at the end.
struct LossReport {
    let what: String
    private let totals: String
    let say: (String) -> Void
    private var said = Losses()
    private var lastTime = 0

    init(what: String, totals: String? = nil, say: @escaping (String) -> Void) {
        self.what = what
        self.totals = totals ?? "\(what) lost because there were too many different ones"
        self.say = say
    }

    mutating func update(_ losses: Losses) {
        guard losses.records > said.records else { return }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        guard now.tv_sec > lastTime else { return }
        lastTime = now.tv_sec
        said = losses
        say("\(losses.records) \(what) lost so far: the buffer is full; a larger --buffer-size holds more")
    }

    func finish(_ losses: Losses) {
        if losses.records > 0 {
            say("\(losses.records) \(what) lost because the buffer was full: use a larger --buffer-size")
        }
        if losses.state > 0 {
            say("\(losses.state) \(what) lost because too many were under way at once")
        }
        if losses.stacks > 0 {
            say(
                "\(losses.stacks) stacks were not stored, and what counts under them has no frames: "
                    + "use a larger --stack-storage-size")
        }
        if losses.totals > 0 {
            say("\(losses.totals) \(totals)")
        }
        if losses.keys > 0 {
            say(
                "\(losses.keys) \(what) are in no histogram because there were too many: use a larger --max-keys"
            )
        }
        if losses.skipped > 0 {
            say(
                "up to \(losses.skipped) \(what) or filter updates lost because the BPF program was already running on "
                    + "that CPU"
            )
        }
        if losses.targets > 0 {
            say("\(losses.targets) child processes were not followed: too many at once")
        }
    }
}
