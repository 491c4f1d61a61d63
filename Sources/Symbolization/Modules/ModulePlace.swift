// SPDX-License-Identifier: Apache-2.0

/// Where an address of a process is in a file: the same for all processes, wherever they have mapped it.
package struct ModulePlace {
    package let module: Module
    /// The file as the process sees it.
    package let name: String
    /// The address to look up, as the file counts: of the call, if it is for a return address.
    package let address: UInt64
    package let isReturnAddress: Bool
    /// What the process's addresses are more than the file's.
    package let bias: UInt64

    /// The same place as one that nothing was called from.
    package var exact: Self {
        guard isReturnAddress else { return self }
        return Self(module: module, name: name, address: address &+ 1, isReturnAddress: false, bias: bias)
    }
}

extension Symbolizer {
    /// Where an address is in a file; nil if it is in none that is known.
    package func place(of wanted: UserAddress) -> ModulePlace? {
        if table.current(wanted.process) == nil { observe(process: wanted.process) }
        let lookup = wanted.isReturnAddress ? wanted.address &- 1 : wanted.address
        guard let image = table.image(of: wanted.process, at: wanted.time, with: lookup),
            let region = image.region(
                at: lookup, time: wanted.time.flatMap { image.formerMoment(at: $0) }),
            case .module(let module) = region.content
        else { return nil }
        let address = Self.place(of: lookup, in: module, region)
        return ModulePlace(
            module: module, name: region.name, address: address, isReturnAddress: wanted.isReturnAddress,
            bias: lookup &- address)
    }

    /// Whether what a process ran at a time is over: nothing more will be known of it.
    package func isOver(_ process: Int32, at time: UInt64?) -> Bool {
        guard let time else { return !isLiving(process) }
        return table.image(of: process, at: time)?.isOver ?? true
    }

    /// Whether a process is known, and has not ended as far as is known.
    package func isLiving(_ process: Int32) -> Bool { table.current(process).map { !$0.isOver } ?? false }

    /// Keeps nothing of what is over by now, but for what is still under way: its frames have been named.
    package func releaseEnded() {
        table.release()
        closeUnused()
    }
}
