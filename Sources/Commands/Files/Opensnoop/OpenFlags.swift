// SPDX-License-Identifier: Apache-2.0

/// The flags of open(2) as the kernel numbers them on x86-64 (asm-generic/fcntl.h): not the C library's, whose
/// O_LARGEFILE is 0.
package enum OpenFlags {
    private static let access = ["O_RDONLY", "O_WRONLY", "O_RDWR"]

    /// Longer names first: O_SYNC contains O_DSYNC's bit, and O_TMPFILE contains O_DIRECTORY's.
    private static let bits: [(name: String, mask: UInt64)] = [
        ("O_TMPFILE", 0o20200000), ("O_SYNC", 0o4010000), ("O_CREAT", 0o100), ("O_EXCL", 0o200),
        ("O_NOCTTY", 0o400), ("O_TRUNC", 0o1000), ("O_APPEND", 0o2000), ("O_NONBLOCK", 0o4000),
        ("O_DSYNC", 0o10000), ("O_ASYNC", 0o20000), ("O_DIRECT", 0o40000), ("O_LARGEFILE", 0o100000),
        ("O_DIRECTORY", 0o200000), ("O_NOFOLLOW", 0o400000), ("O_NOATIME", 0o1000000),
        ("O_CLOEXEC", 0o2000000), ("O_PATH", 0o10000000),
    ]

    /// The names of all flags that are set; the access mode comes first, what has no name last as a number.
    package static func names(_ flags: UInt64) -> [String] {
        var names = [flags & 3 < 3 ? access[Int(flags & 3)] : "O_ACCMODE"]
        var rest = flags & ~3
        for bit in bits where rest & bit.mask == bit.mask {
            names.append(bit.name)
            rest &= ~bit.mask
        }
        if rest != 0 { names.append("0" + String(rest, radix: 8)) }
        return names
    }

    /// The bits of a flag's name, with or without "O_"; nil if there is none of that name. O_RDONLY is 0.
    package static func mask(named name: String) -> UInt64? {
        var full = name.uppercased()
        if !full.hasPrefix("O_") { full = "O_" + full }
        if let mode = access.firstIndex(of: full) { return UInt64(mode) }
        if full == "O_NDELAY" { return 0o4000 }
        return bits.first { $0.name == full }?.mask
    }

    /// A flag without the bits that it shares with another one: what to look for when filtering.
    package static func ownBits(_ flag: UInt64) -> UInt64 {
        switch flag {
        case 0o20200000: 0o20000000  // O_TMPFILE without O_DIRECTORY
        case 0o4010000: 0o4000000  // O_SYNC without O_DSYNC
        default: flag
        }
    }
}
