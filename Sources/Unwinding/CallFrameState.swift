// SPDX-License-Identifier: Apache-2.0

/// What call frame instructions have said up to some place, of the registers that are of interest.
struct CallFrameState: Equatable {
    /// How the canonical frame address is found.
    enum Address: Equatable {
        case none
        case register(UInt64, offset: Int64)
        /// What is in memory at a register plus `offset`, plus `addend`.
        case dereferenced(UInt64, offset: Int64, addend: Int64)
        /// That of a procedure linkage table, whose stubs push after so many bytes.
        case linkageTable(threshold: Int64)
        /// By an expression that has no rule.
        case other
    }

    /// Where the caller's value of a register is.
    enum Saved: Equatable {
        case unspecified
        case same
        case undefined
        /// In memory at the canonical frame address plus this.
        case offset(Int64)
        /// In memory at the frame pointer plus this.
        case frameOffset(Int64)
        /// Where no rule can say.
        case other
    }

    var address = Address.none
    var framePointer = Saved.same
    var returnAddress = Saved.unspecified
}

/// A common information entry: what the functions that refer to it share.
struct CommonEntry {
    var codeAlignment: UInt64 = 1
    var dataAlignment: Int64 = 1
    var returnAddressRegister: UInt64 = 0
    var pointerEncoding = PointerEncoding.absolute
    /// Whether entries that refer to it have augmentation data.
    var hasAugmentationData = false
    /// Augmentation S: the frame is that of an interrupted function.
    var isSignalFrame = false
    var machine = CallFrameMachine.amd64
    /// Its instructions.
    var instructions = 0..<0
    /// What holds at the beginning of each function.
    var state = CallFrameState()
}

/// The call frame instructions of one function, executed step by step (DWARF 5, 6.4.2 and 7.24; LSB 5.0, 10.5.2 for
/// those of GNU).
struct CallFrameProgram {
    private(set) var state: CallFrameState
    /// From where on `state` holds.
    private(set) var location: UInt64
    private(set) var isMalformed = false

    private var reader: CallFrameReader
    private let common: CommonEntry
    private let initial: CallFrameState
    private let bases: PointerBases
    private var remembered: [CallFrameState] = []

    /// Compilers go one deep.
    private static let maximumRemembered = 64

    /// - Parameters:
    ///   - location: The address of the first instruction of the function.
    ///   - bases: For addresses in the instructions.
    init(_ reader: CallFrameReader, _ common: CommonEntry, location: UInt64, _ bases: PointerBases) {
        self.reader = reader
        self.common = common
        self.location = location
        self.bases = bases
        state = common.state
        initial = common.state
    }

    /// Executes up to the next advance, before which `state` does not hold any more.
    ///
    /// The caller uses `state` from `location` on, then calls `advance`.
    /// - Returns: The address from which on something else holds; nil at the end or if the rest makes no sense.
    mutating func next() -> UInt64? {
        while !reader.isAtEnd {
            let code = reader.byte()
            let operand = UInt64(code & 0x3f)
            var target: UInt64?
            switch code >> 6 {
            case 1: target = advanced(by: operand)
            case 2: save(operand, .offset(factored(reader.unsigned())))
            case 3: restore(operand)
            default: target = execute(code)
            }
            if reader.failed { isMalformed = true }
            if isMalformed { return nil }
            if let target { return target }
        }
        return nil
    }

    /// Makes what `next` returned the place from which on `state` holds.
    mutating func advance(to target: UInt64) { location = target }

    private mutating func malformed() { isMalformed = true }

    private mutating func advanced(by delta: UInt64) -> UInt64 {
        let (distance, tooFar) = delta.multipliedReportingOverflow(by: common.codeAlignment)
        let (target, outside) = location.addingReportingOverflow(distance)
        if tooFar || outside { malformed() }
        return target
    }

    private func factored(_ offset: UInt64) -> Int64 { Int64(bitPattern: offset) &* common.dataAlignment }

    private mutating func save(_ register: UInt64, _ place: CallFrameState.Saved) {
        if register == common.machine.framePointer {
            state.framePointer = place
        } else if register == common.returnAddressRegister {
            state.returnAddress = place
        }
    }

    private mutating func restore(_ register: UInt64) {
        if register == common.machine.framePointer {
            state.framePointer = initial.framePointer
        } else if register == common.returnAddressRegister {
            state.returnAddress = initial.returnAddress
        }
    }

    /// The instructions whose operands follow; returns the new location of those that advance.
    private mutating func execute(_ code: UInt8) -> UInt64? {
        switch code {
        case 0x00: break  // nop
        case 0x01:  // set_loc
            let target = reader.pointer(common.pointerEncoding, bases)
            if target < location { malformed() }
            return target
        case 0x02: return advanced(by: UInt64(reader.byte()))
        case 0x03: return advanced(by: UInt64(reader.number(UInt16.self)))
        case 0x04: return advanced(by: UInt64(reader.number(UInt32.self)))
        case 0x1d: return advanced(by: reader.number(UInt64.self))  // MIPS_advance_loc8
        case 0x0a: remember()
        case 0x0b: recall()
        case 0x0c...0x0f, 0x12, 0x13: defineAddress(code)
        case 0x2d: break  // GNU_window_save: of SPARC; on AArch64, whether the return address is signed
        case 0x2e: _ = reader.unsigned()  // GNU_args_size
        default: saveRegister(code)
        }
        return nil
    }

    private mutating func remember() {
        guard remembered.count < Self.maximumRemembered else { return malformed() }
        remembered.append(state)
    }

    private mutating func recall() {
        guard let last = remembered.popLast() else { return malformed() }
        state = last
    }

    private mutating func defineAddress(_ code: UInt8) {
        switch code {
        case 0x0c:  // def_cfa
            let register = reader.unsigned()
            state.address = .register(register, offset: Int64(bitPattern: reader.unsigned()))
        case 0x12:  // def_cfa_sf
            let register = reader.unsigned()
            state.address = .register(register, offset: reader.signed() &* common.dataAlignment)
        case 0x0f:  // def_cfa_expression
            state.address = common.machine.address(of: reader.part(reader.unsigned()))
        default:
            // The others change a part of what must be there.
            guard case .register(let register, let offset) = state.address else { return malformed() }
            switch code {
            case 0x0d: state.address = .register(reader.unsigned(), offset: offset)
            case 0x0e: state.address = .register(register, offset: Int64(bitPattern: reader.unsigned()))
            default: state.address = .register(register, offset: reader.signed() &* common.dataAlignment)
            }
        }
    }

    private mutating func saveRegister(_ code: UInt8) {
        let register = reader.unsigned()
        switch code {
        case 0x05: save(register, .offset(factored(reader.unsigned())))  // offset_extended
        case 0x06: restore(register)
        case 0x07: save(register, .undefined)
        case 0x08: save(register, .same)
        case 0x09, 0x14:  // register, val_offset
            _ = reader.unsigned()
            save(register, .other)
        case 0x15:  // val_offset_sf
            _ = reader.signed()
            save(register, .other)
        case 0x10:  // expression
            save(register, common.machine.place(by: reader.part(reader.unsigned())))
        case 0x16:  // val_expression
            reader.skip(reader.unsigned())
            save(register, .other)
        case 0x11: save(register, .offset(reader.signed() &* common.dataAlignment))  // offset_extended_sf
        case 0x2f: save(register, .offset(0 &- factored(reader.unsigned())))  // negative_offset_extended
        default: malformed()
        }
    }
}
