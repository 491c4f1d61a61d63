// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser
internal import CBPFPrograms
internal import CSupport
internal import Reporting

/// A system call: its number, and the entry through which it came, which gives the number its meaning.
struct SystemCall: Hashable {
    enum ABI: UInt32, CaseIterable {
        case native, compat, x32

        /// For JSON and behind the name in tables.
        var name: StaticString {
            switch self {
            case .native: "native"
            case .compat: "32-bit"
            case .x32: "x32"
            }
        }
    }

    let abi: ABI
    let number: UInt32

    init(abi: ABI, number: UInt32) {
        self.abi = abi
        self.number = number
    }

    /// - Parameter code: as programs write it: see SYSCALL_ABI_SHIFT.
    init?(code: UInt32) {
        guard let abi = ABI(rawValue: code >> UInt32(SYSCALL_ABI_SHIFT)) else { return nil }
        self.abi = abi
        number = code & 0xffff
    }

    /// As in the kernel's headers; "syscall_451" for one that they do not know.
    var name: String {
        if let name = apus_syscall_name(abi.rawValue, number) { return String(cString: name) }
        return number == SYSCALL_NUMBER_OTHER ? "no system call" : "syscall_\(number)"
    }

    /// The name, and which kind of call it is where that is not the usual one.
    var title: String { abi == .native ? name : "\(name) (\(abi.name))" }

    /// All calls of an entry that have names, by number.
    static func all(_ abi: ABI) -> [SystemCall] {
        (0..<apus_syscall_numbers).lazy.filter { apus_syscall_name(abi.rawValue, $0) != nil }
            .map { SystemCall(abi: abi, number: $0) }
    }

    private static let nativeNumbers: [String: UInt32] = Dictionary(
        all(.native).map { ($0.name, $0.number) }
    ) { first, _ in first }

    /// What functions of the kernel are called where that is not the name of their call.
    private static let functions = [
        "newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "newuname": "uname",
        "sendfile64": "sendfile", "umount": "umount2",
    ]

    /// The call that a function of the kernel serves, by the function's name behind "sys_".
    static func native(function name: String) -> SystemCall? {
        nativeNumbers[functions[name] ?? name].map { SystemCall(abi: .native, number: $0) }
    }

    /// The calls of this name, one for each entry that has it.
    static func named(_ name: String) -> [SystemCall] {
        ABI.allCases.flatMap { all($0).filter { $0.name == name } }
    }
}

/// System calls by name: "read" or "read,write".
package struct SystemCallList: Equatable {
    let calls: Set<SystemCall>

    init(calls: Set<SystemCall>) { self.calls = calls }

    /// What the option was given, each time that it was; nil if it was not.
    init?(_ lists: [SystemCallList]) {
        guard !lists.isEmpty else { return nil }
        calls = lists.reduce(into: []) { $0.formUnion($1.calls) }
    }
}

func parseSystemCalls(_ text: String) throws -> SystemCallList {
    var calls: Set<SystemCall> = []
    for name in text.split(separator: ",", omittingEmptySubsequences: false) {
        let found = SystemCall.named(String(name))
        guard !found.isEmpty else {
            throw ValidationError(
                "there is no system call '\(escaped(String(name)))': --list names them all.")
        }
        calls.formUnion(found)
    }
    return SystemCallList(calls: calls)
}

/// An errno by name or number.
func parseErrno(_ text: String) throws -> Int32 {
    if let number = Int32(text), (1...4095).contains(number) { return number }
    for number in 1...Int32(4095) where errnoName(number) == text { return number }
    throw ValidationError("invalid error '\(escaped(text))': expected a name such as ENOENT or a number.")
}
