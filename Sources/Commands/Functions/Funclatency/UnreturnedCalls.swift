// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms
internal import Tracing

/// The calls that funclatency has seen begin, and not end.
enum UnreturnedCalls {
    /// Says how many they are.
    static func explain(_ object: LoadedObject, ofKernel: Bool, _ session: Session) throws {
        if ofKernel { try explainKernel(object, session) } else { explainUser(object, session) }
    }

    private static let otherWays = "because of an exit, an exec, a jump or an exception"

    private static func calls(_ count: UInt64) -> String { "\(count) \(count == 1 ? "call" : "calls")" }

    private static func explainKernel(_ object: LoadedObject, _ session: Session) throws {
        let abandonedCalls = try object.sharedVariable("unreturned_calls", as: UInt64.self)
        let threads: HashMap<UInt64, thread_calls> = object.map("threads")
        var abandoned: UInt64 = 0
        var pending: UInt64 = 0
        // Threads that have ended are still being freed, which moves their calls from the one to the other.
        repeat {
            abandoned = abandonedCalls.value
            pending = 0
            threads.forEach { _, calls in pending += UInt64(calls.pointee.depth) }
        } while abandonedCalls.value != abandoned
        if pending > 0 { session.say("\(calls(pending)) had not returned at the end: in no histogram") }
        if abandoned > 0 { session.say("\(calls(abandoned)) never returned, \(otherWays): in no histogram") }
    }

    /// A call that was left without a return is known as such only if another one has taken its place.
    private static func explainUser(_ object: LoadedObject, _ session: Session) {
        func count(_ what: user_call_count) -> UInt64 {
            object.numbersByCPU("user_call_counts", at: what.rawValue).reduce(0, &+)
        }
        let known: HashMap<user_call_key, user_call> = object.map("user_calls")
        var pending: UInt64 = 0
        known.forEach { _, _ in pending += 1 }
        let (begun, ended, left) = (count(USER_CALLS_BEGUN), count(USER_CALLS_ENDED), count(USER_CALLS_LEFT))
        let forgotten = Int64(bitPattern: begun &- ended &- left &- pending)
        if pending > 0 {
            session.say("\(calls(pending)) had not returned at the end, or never did: in no histogram")
        }
        if left > 0 { session.say("\(calls(left)) never returned, \(otherWays): in no histogram") }
        if forgotten > 0 {
            session.say(
                "\(calls(UInt64(forgotten))) were given up, since \(USER_CALLS) later ones had not returned either: in "
                    + "no histogram, whether they returned or not")
        }
    }
}
