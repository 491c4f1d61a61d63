// SPDX-License-Identifier: Apache-2.0
internal import Symbolization

/// Turns addresses of stacks into what they stand for, so that nothing of their processes need be kept.
final class StackNamer {
    /// What of a stack will be shown: what will not is not kept.
    struct Detail {
        /// Where in a function a frame is.
        var places = true
        /// Where in its process a frame is.
        var addresses = true
        /// More than the names of functions, and which process it was.
        var rows = true
    }

    private let names: StackNames
    private let detail: Detail
    private(set) var sums: StackSums
    private let width: Int
    private var files = Numbering<File>()
    private var userParts: [Place: Int32] = [:]
    private var kernelParts: [UInt64: (part: Int32, name: String?)] = [:]
    /// What will be asked for when tracing is over.
    private var pending: [ModulePlace] = []
    private var isLate: Bool { names.namesLate }
    /// More can be had again.
    private static let mostParts = 1 << 16

    private struct File: Hashable {
        let module: Int
        let name: String
    }

    private struct Place: Hashable {
        let file: Int32
        let address: UInt64
        let isReturnAddress: Bool
    }

    init(_ names: StackNames, _ detail: Detail, width: Int) {
        self.names = names
        self.detail = detail
        self.width = width
        sums = StackSums(width: width)
    }

    func clear() {
        sums = StackSums(width: width)
        userParts = [:]
        kernelParts = [:]
        pending = []
    }

    /// Frames of what could not be named before, now; by `StackSums.Part.pending`.
    func lateFrames() -> [[Frame]] { named(pending) }

    /// Adds stacks, which are then no longer needed.
    func add(_ entries: [StackReport.Key: [UInt64]]) {
        prepare(entries.keys)
        for (key, values) in entries {
            var mapped: [StackSums.Bias] = []
            let stack = stack(key.kernel, key.user, key.userEnd, of: key.process, at: key.moment, &mapped)
            let task = task(key, mapped)
            sums.add(stack: stack, task: task, values)
        }
        if userParts.count > Self.mostParts, !isLate { userParts = [:] }
        if kernelParts.count > Self.mostParts { kernelParts = [:] }
    }

    private func task(_ key: StackReport.Key, _ mapped: [StackSums.Bias]) -> Int32 {
        let kind = sums.number(StackSums.Kind(comm: key.comm, labels: key.labels, notes: key.notes))
        var task = StackSums.Task(process: 0, thread: 0, kind: kind)
        if detail.rows {
            task.process = key.process
            task.thread = key.thread
            task.started = key.started
        }
        if let waker = key.waker {
            var mapped: [StackSums.Bias] = []
            task.wakerStack = stack(
                waker.kernel, waker.user, waker.userEnd, of: waker.process, at: waker.moment, &mapped)
            let kind = sums.number(StackSums.Kind(comm: waker.comm))
            task.waker = sums.number(
                StackSums.Task(process: waker.process, thread: waker.thread, kind: kind), mapped)
        }
        return sums.number(task, mapped)
    }

    /// - Parameter mapped: gets the files that the stack is in.
    private func stack(
        _ kernel: [UInt64], _ user: [UInt64], _ end: StackEnd, of process: Int32, at moment: UInt64?,
        _ mapped: inout [StackSums.Bias]
    ) -> Int32 {
        var stack: Int32 = -1
        if end.isKnown {
            let frames = end.marker.map { [Frame(marker: $0)] } ?? []
            stack = sums.stack(stack, sums.number(StackSums.Part(frames: frames, end: end)))
        }
        for (index, address) in user.enumerated().reversed() {
            let wanted = UserAddress(address, process: process, isReturnAddress: index > 0, at: moment)
            stack = sums.stack(stack, part(of: wanted, &mapped))
        }
        for part in parts(kernel: kernel).reversed() { stack = sums.stack(stack, part) }
        return stack
    }

    // MARK: - Parts

    private func parts(kernel addresses: [UInt64]) -> [Int32] {
        let found = addresses.enumerated().map { index, address in
            // The highest bit of the kernel's addresses is always set.
            let key = address << 1 | (index > 0 ? 1 : 0)
            if let known = kernelParts[key] { return known }
            let frames = names.symbolizer.frames(kernel: address, isReturnAddress: index > 0)
            let part = (
                part: sums.number(StackSums.Part(frames: frames.map(shown))), name: frames[0].function
            )
            kernelParts[key] = part
            return part
        }
        return found.dropFirst(StackNames.tracerFrames(found.map(\.name))).map(\.part)
    }

    private func part(of wanted: UserAddress, _ mapped: inout [StackSums.Bias]) -> Int32 {
        guard let place = names.symbolizer.place(of: wanted) else {
            return sums.number(StackSums.Part(frames: unplaced(wanted)))
        }
        let file = files.number(File(module: place.module.number, name: place.name))
        if detail.addresses { mapped.append(StackSums.Bias(file: file, bytes: place.bias)) }
        let key = Place(file: file, address: place.address, isReturnAddress: place.isReturnAddress)
        if let known = userParts[key] { return known }
        return add(place, key, named([place])[0])
    }

    /// Code that is in no file that is known.
    private func unplaced(_ wanted: UserAddress) -> [Frame] {
        func frames(_ isReturnAddress: Bool) -> [Frame] {
            names.symbolizer.frames(
                user: wanted.address, process: wanted.process, isReturnAddress: isReturnAddress,
                at: wanted.time)
        }
        var found = frames(wanted.isReturnAddress)
        if wanted.isReturnAddress, found[0].function == nil {
            let exact = frames(false)
            if exact[0].function != nil, exact[0].functionOffset == 0 { found = exact }
        }
        return names.shown(found).map(shown)
    }

    private func add(_ place: ModulePlace, _ key: Place, _ frames: [Frame]) -> Int32 {
        var part = StackSums.Part(frames: frames, file: detail.addresses ? key.file : -1)
        if isLate, place.module.lacksDebugFile {
            part.pending = Int32(pending.count)
            part.frames = []
            pending.append(place)
        }
        let number = sums.number(part)
        userParts[key] = number
        return number
    }

    /// Names all places of stacks that are not known yet, many with one question.
    private func prepare(_ keys: some Sequence<StackReport.Key>) {
        var places: [Place: ModulePlace] = [:]
        func note(_ user: [UInt64], _ process: Int32, _ moment: UInt64?) {
            for (index, address) in user.enumerated() {
                let wanted = UserAddress(address, process: process, isReturnAddress: index > 0, at: moment)
                guard let place = names.symbolizer.place(of: wanted) else { continue }
                let file = files.number(File(module: place.module.number, name: place.name))
                let key = Place(file: file, address: place.address, isReturnAddress: index > 0)
                if userParts[key] == nil { places[key] = place }
            }
        }
        for key in keys {
            note(key.user, key.process, key.moment)
            if let waker = key.waker { note(waker.user, waker.process, waker.moment) }
        }
        guard !places.isEmpty else { return }
        let order = Array(places)
        for ((key, place), frames) in zip(order, named(order.map(\.value))) { _ = add(place, key, frames) }
    }

    /// The frames of places, as they are shown. A signal's handler returns to the beginning of a function, which has
    /// called nothing.
    private func named(_ places: [ModulePlace]) -> [[Frame]] {
        var found = names.symbolizer.frames(at: places)
        let unnamed = places.indices.filter { places[$0].isReturnAddress && found[$0][0].function == nil }
        if !unnamed.isEmpty {
            let exact = names.symbolizer.frames(at: unnamed.map { places[$0].exact })
            for (index, frames) in zip(unnamed, exact)
            where frames[0].function != nil && frames[0].functionOffset == 0 { found[index] = frames }
        }
        return found.map { names.shown($0).map(shown) }
    }

    /// A frame without what will not be shown of it, so that more of them are the same.
    private func shown(_ frame: Frame) -> Frame {
        var frame = frame
        if !detail.rows {
            frame.file = nil
            frame.line = nil
            frame.buildID = nil
            if frame.function != nil { frame.module = nil }
        }
        guard !detail.places, !detail.rows || frame.function != nil else { return frame }
        frame.functionOffset = 0
        frame.moduleOffset = 0
        frame.address = 0
        return frame
    }
}
