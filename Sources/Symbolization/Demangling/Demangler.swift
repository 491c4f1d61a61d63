// SPDX-License-Identifier: Apache-2.0
internal import CSymbolization

/// Turns the names that compilers give to linkers into those of the source.
final class Demangler {
    private let runtime: RuntimeDemangler

    /// - Parameter leavesRiskyNames: Names that may stand for gigabytes stay mangled, behind a NUL.
    init(leavesRiskyNames: Bool = false) { runtime = RuntimeDemangler(leavesRiskyNames: leavesRiskyNames) }

    /// The name as in the source, or as it is if it is not mangled, too long, or not understood.
    func text(of name: [UInt8]) -> String {
        demangled(name) ?? String(decoding: name, as: UTF8.self)
    }

    /// The same by this process itself, whatever time and memory it takes.
    static func unlimited(_ name: [UInt8]) -> String {
        guard name.count < Int(APUS_MANGLED_MAX), let text = RuntimeDemangler().direct(name) else {
            return String(decoding: name, as: UTF8.self)
        }
        return text
    }

    /// nil if it is not mangled, longer than 4 KiB, not understood, or stands for more than 16 KiB.
    func demangled(_ name: [UInt8]) -> String? {
        // A name cut at that length is not whole either.
        guard name.count > 2, name.count < Int(APUS_MANGLED_MAX) else { return nil }
        if name.starts(with: "_R".utf8) {
            return RustV0Demangler.demangle(name)
        }
        if name.starts(with: "_Z".utf8) {
            return demangleRustLegacy(name) ?? runtime.demangle(name)
        }
        guard Self.isSwift(name), let text = runtime.demangle(name) else { return nil }
        // The Swift runtime gives back what it does not understand.
        return text.utf8.elementsEqual(name) ? nil : text
    }

    /// Whether it starts like a name that a Swift compiler since 4.2 made, or one of Embedded Swift.
    private static func isSwift(_ name: [UInt8]) -> Bool {
        let body = name.starts(with: "_".utf8) ? name.dropFirst() : name[...]
        return ["$s", "$S", "$e"].contains { body.starts(with: $0.utf8) } || name.starts(with: "_T0".utf8)
            || name.starts(with: "@__swiftmacro_".utf8)
    }
}

/// Calls `body` with the bytes and a zero behind.
func withTerminated<Result>(_ bytes: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
    (bytes.map { CChar(bitPattern: $0) } + [0]).withUnsafeBufferPointer { buffer in
        // There is at least the zero.
        withUnsafePointer(to: 0 as CChar) { body(buffer.baseAddress ?? $0) }
    }
}
