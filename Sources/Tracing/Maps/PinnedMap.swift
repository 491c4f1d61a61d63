// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import Glibc

/// A hash map that somebody else has made and pinned, usually in /sys/fs/bpf.
package struct PinnedMap: ~Copyable {
    let descriptor: Int32
    /// Bytes of its keys.
    package let keySize: Int
    /// Whether it is a hash map, and not a map of another kind.
    package let isHash: Bool

    /// - Throws: `BPFError` if there is no map that can be read.
    package init(path: String) throws(BPFError) {
        let descriptor = bpf_obj_get(path)
        guard descriptor >= 0 else { throw BPFError("open the pinned map", code: errno) }
        var information = bpf_map_info()
        var size = UInt32(MemoryLayout<bpf_map_info>.size)
        // A program or a link can be pinned as well: of these, no key can be asked for.
        var key = [UInt8](repeating: 0, count: 1 << 16)
        guard bpf_map_get_next_key(descriptor, nil, &key) == 0 || errno == ENOENT,
            bpf_obj_get_info_by_fd(descriptor, &information, &size) == 0
        else {
            let code = errno
            close(descriptor)
            throw BPFError("read what the pinned map is like", code: code)
        }
        self.descriptor = descriptor
        keySize = Int(information.key_size)
        isHash = [BPF_MAP_TYPE_HASH.rawValue, BPF_MAP_TYPE_LRU_HASH.rawValue].contains(information.type)
    }

    deinit { close(descriptor) }
}
