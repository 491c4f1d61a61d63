// SPDX-License-Identifier: Apache-2.0

/// One line of a stack: an address and what is known of it.
package struct Frame: Hashable, Sendable {
    /// Whose code it is.
    package enum Kind: Sendable {
        /// A process's own, from a file or unknown memory.
        case user
        case kernel
        /// Made at run time, and named by the process's perf map.
        case jit
        /// No code, but something to say of the stack.
        case marker
    }

    package var kind: Kind
    /// Demangled unless asked otherwise; nil if it cannot be named.
    package var function: String?
    /// `address` minus the start of the function, in bytes; 0 without a function.
    ///
    /// For an inlined function it counts from the start of the function that it was inlined into.
    package var functionOffset: UInt64
    /// What the code belongs to: a path as the process sees it, "[kernel]", "[vdso]", "[bpf]", a kernel module
    /// such as "[nf_tables]", or another name in brackets for memory without a file. nil if not known at all.
    package var module: String?
    /// The address inside the module as its ELF file counts (what `addr2line -e` takes), of the call itself if
    /// the frame is that of a return address. Without an ELF file it is the address looked up.
    package var moduleOffset: UInt64
    /// The module's build ID in hexadecimal.
    package var buildID: String?
    package var file: String?
    package var line: Int?
    /// Whether the function has no frame of its own, but is part of that of the next frame.
    package var isInlined: Bool
    /// The address that was asked for.
    package var address: UInt64

    package init(
        kind: Kind, function: String? = nil, functionOffset: UInt64 = 0, module: String? = nil,
        moduleOffset: UInt64 = 0, buildID: String? = nil, file: String? = nil, line: Int? = nil,
        isInlined: Bool = false, address: UInt64
    ) {
        self.kind = kind
        self.function = function
        self.functionOffset = functionOffset
        self.module = module
        self.moduleOffset = moduleOffset
        self.buildID = buildID
        self.file = file
        self.line = line
        self.isInlined = isInlined
        self.address = address
    }

    /// A line that is no code.
    package init(marker: String) { self.init(kind: .marker, function: marker, address: 0) }

    /// As one line: `name+0x1f [libc.so.6]`.
    ///
    /// A frame without a name says where it is, whatever was asked for: `[unknown] libfoo.so+0x1234 (build ID)`,
    /// or `[unknown] 0x7f0012345678` without a module. Names are as their files have them: escape them before
    /// they reach a terminal.
    /// - Parameters:
    ///   - offset: Add the offset in the function, if it is not inlined.
    ///   - module: Add the last part of the module's path, in brackets.
    package func text(offset: Bool, module showsModule: Bool) -> String {
        guard var text = function else { return unnamed }
        if offset, !isInlined { text += "+" + hexadecimal(functionOffset) }
        if showsModule, let moduleName {
            text += moduleName.hasPrefix("[") ? " " + moduleName : " [" + moduleName + "]"
        }
        return text
    }

    private var unnamed: String {
        guard let moduleName else { return "[unknown] " + hexadecimal(address) }
        let place = "[unknown] " + moduleName + "+" + hexadecimal(moduleOffset)
        return buildID.map { place + " (" + $0 + ")" } ?? place
    }

    /// The part behind the last slash.
    private var moduleName: String? {
        guard let module else { return nil }
        let name = module.utf8.split(separator: UInt8(ascii: "/")).last
        return name.map { String(Substring($0)) } ?? module
    }
}

func hexadecimal(_ number: UInt64) -> String { "0x" + String(number, radix: 16) }
