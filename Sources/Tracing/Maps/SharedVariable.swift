// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import Glibc

/// A global variable of running programs: what either side writes, the other one sees.
package final class SharedVariable<Value: BitwiseCopyable> {
    private let mapping: UnsafeMutableRawPointer
    private let bytes: Int
    /// Valid as long as this object.
    let pointer: UnsafeMutablePointer<Value>

    /// - Parameters:
    ///   - map: descriptor of an array map with one element, made with BPF_F_MMAPABLE, as libbpf's data maps are.
    ///   - size: of that element, in bytes.
    init(map: Int32, size: Int, offset: Int) throws(BPFError) {
        bytes = size
        guard let mapping = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0), mapping != MAP_FAILED
        else {
            throw BPFError("map the programs' variables", code: errno)
        }
        self.mapping = mapping
        pointer = (mapping + offset).assumingMemoryBound(to: Value.self)
    }

    deinit { munmap(mapping, bytes) }

    package var value: Value {
        get { pointer.pointee }
        set { pointer.pointee = newValue }
    }
}
