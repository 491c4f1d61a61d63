// SPDX-License-Identifier: Apache-2.0

/// The locations of a profile: a frame, together with those that were inlined into it.
struct PprofLocations {
    private let profile: Profile
    /// (the location without its innermost frame or -1, that frame).
    private var groups = PairTable()
    /// By stack: the group that its leaf completes so far.
    private var groupOfStack: [Int32] = []
    /// By stack: the stack below its leaf's group.
    private var callerOfStack: [Int32] = []
    /// By group: its location's number, 0 if no stack has needed it.
    private var numbers: [UInt64] = []
    /// The groups that have a number, in its order.
    private(set) var used: [Int32] = []

    init(_ profile: Profile) {
        self.profile = profile
        groupOfStack.reserveCapacity(profile.stacks.count)
        callerOfStack.reserveCapacity(profile.stacks.count)
        for (caller, frame) in zip(profile.stacks.firsts, profile.stacks.seconds) {
            // What is inlined joins the frame before it; at the root it stands alone.
            let joins = caller >= 0 && profile.frames[Int(frame)].kind == .inlined && !isMarker(caller)
            groupOfStack.append(groups.number(joins ? groupOfStack[Int(caller)] : -1, frame))
            callerOfStack.append(joins ? callerOfStack[Int(caller)] : caller)
        }
        numbers = [UInt64](repeating: 0, count: groups.count)
    }

    private func isMarker(_ stack: Int32) -> Bool {
        profile.frames[Int(profile.stacks.seconds[Int(stack)])].kind == .marker
    }

    /// The numbers of a stack's locations, leaf first.
    mutating func path(of stack: Int32) -> [UInt64] {
        var path: [UInt64] = []
        var at = stack
        while at >= 0 {
            let group = Int(groupOfStack[Int(at)])
            if numbers[group] == 0 {
                used.append(Int32(group))
                numbers[group] = UInt64(used.count)
            }
            path.append(numbers[group])
            at = callerOfStack[Int(at)]
        }
        return path
    }

    /// The frames of a location, innermost first.
    func frames(_ index: Int) -> [Profile.Frame] {
        var frames: [Profile.Frame] = []
        var group = used[index]
        while group >= 0 {
            frames.append(profile.frames[Int(groups.seconds[Int(group)])])
            group = groups.firsts[Int(group)]
        }
        return frames
    }
}
