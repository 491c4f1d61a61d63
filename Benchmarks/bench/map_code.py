# SPDX-License-Identifier: Apache-2.0
"""A process that maps the code of many files as the loader does, and runs none of it: map_code.py FILE…

Says "ready", and ends when its standard input does. Files that are no 64-bit little-endian ELF files are left out.
"""

import mmap
import struct
import sys

PT_LOAD, PF_X = 1, 1


def code_of(path: str) -> tuple[int, int] | None:
    """Offset and length of the first executable segment (ELF-64, System V gABI, "Program Header")."""
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:6] != b"\x7fELF\x02\x01" or len(head) < 64:
            return None
        table, = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(table)
        entries = file.read(size * count)
    for number in range(len(entries) // size if size >= 56 else 0):
        kind, flags, offset, _, _, length = struct.unpack_from("<IIQQQQ", entries, number * size)
        if kind == PT_LOAD and flags & PF_X and length:
            return offset, length
    return None


def main() -> None:
    held = []
    for path in sys.argv[1:]:
        code = code_of(path)
        if code is None:
            continue
        start = code[0] // mmap.PAGESIZE * mmap.PAGESIZE
        with open(path, "rb") as file:
            held.append(mmap.mmap(file.fileno(), code[0] + code[1] - start, flags=mmap.MAP_PRIVATE,
                                  prot=mmap.PROT_READ | mmap.PROT_EXEC, offset=start))
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
