// SPDX-License-Identifier: Apache-2.0

/// Code of a program that other code has taken the place of, as when a library is unloaded and another one loaded, and
/// when that was: an address on a stack stands for what was there when the stack was taken.
struct FormerCode {
    private struct Piece {
        /// In nanoseconds of the monotonic clock.
        var until: UInt64
        let region: ProcessImage.Region
    }

    /// A program that replaces code all the time must not make us remember all of it.
    static let most = 4096

    /// The earliest change first.
    private var pieces: [Piece] = []

    var count: Int { pieces.count }

    /// When the last change was, up to a time, in nanoseconds of the monotonic clock; 0 if there was none.
    func lastChange(upTo time: UInt64) -> UInt64 {
        guard let last = pieces.last else { return 0 }
        if last.until <= time { return last.until }
        let next = firstChange(after: time)
        return next > 0 ? pieces[next - 1].until : 0
    }

    /// What was at an address at a time, if something else took its place later.
    func region(at address: UInt64, time: UInt64) -> ProcessImage.Region? {
        guard let last = pieces.last, last.until > time else { return nil }
        return pieces[firstChange(after: time)...].first { piece in
            address >= piece.region.mapping.start && address < piece.region.mapping.end
        }?.region
    }

    /// What was last at an address before what is there now.
    func lastRegion(at address: UInt64) -> ProcessImage.Region? {
        pieces.last { address >= $0.region.mapping.start && address < $0.region.mapping.end }?.region
    }

    mutating func add(_ region: ProcessImage.Region, until time: UInt64) {
        if pieces.count >= Self.most { pieces.removeFirst(Self.most / 2) }
        insert(Piece(until: time, region: region))
    }

    /// Corrects the time of what was replaced by a mapping.
    mutating func date(changes known: UInt64, in mapping: Mapping, at time: UInt64) {
        guard let last = pieces.last, last.until >= known else { return }
        let isWanted = { (piece: Piece) in
            piece.until == known && piece.region.mapping.start >= mapping.start
                && piece.region.mapping.end <= mapping.end
        }
        let moved = pieces.filter(isWanted)
        guard !moved.isEmpty else { return }
        pieces.removeAll(where: isWanted)
        for piece in moved { insert(Piece(until: time, region: piece.region)) }
    }

    private mutating func insert(_ piece: Piece) {
        pieces.insert(piece, at: firstChange(after: piece.until))
    }

    /// The number of the first change after a time.
    private func firstChange(after time: UInt64) -> Int {
        var low = 0
        var high = pieces.count
        while low < high {
            let middle = (low + high) / 2
            if pieces[middle].until <= time { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
