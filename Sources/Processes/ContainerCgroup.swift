// SPDX-License-Identifier: Apache-2.0

/// Which container a cgroup path belongs to: its ID, and the part of the path that is the container's own
/// cgroup.
///
/// The ID is the 64 hexadecimal digits that docker, podman, containerd and CRI-O give, or the name of an LXC
/// or systemd-nspawn machine. Of containers inside one another the innermost counts. A runtime's own helper
/// (conmon, nspawn's supervisor) is not in the container it serves; nil is also the answer for anything else.
package func containerID(inCgroupPath path: String) -> (id: String, cgroup: String)? {
    ContainerCgroup(path: path).map { ($0.id, $0.cgroup) }
}

/// A container as seen in a cgroup path.
struct ContainerCgroup: Equatable {
    /// 64 hexadecimal digits, or the name of a machine.
    let id: String
    /// The container's own cgroup, a prefix of the path.
    let cgroup: String
    /// Whether the ID is a name, which is unique only where it was given.
    let isMachine: Bool

    /// Finds the innermost container in `path`; nil if it is in none.
    init?(path: String) {
        guard path.utf8.first == UInt8(ascii: "/") else { return nil }
        let parts = path.utf8.split(separator: UInt8(ascii: "/"))
        for index in parts.indices.reversed() {
            let part = String(decoding: parts[index], as: UTF8.self)
            if let id = engineID(part) {
                self.init(id: id, cgroup: path.utf8[..<parts[index].endIndex], isMachine: false)
                return
            }
            let outer = index > 0 ? String(decoding: parts[index - 1], as: UTF8.self) : nil
            if let id = lxcName(part, in: outer) {
                self.init(id: id, cgroup: path.utf8[..<parts[index].endIndex], isMachine: true)
                return
            }
            if let id = nspawnName(part) {
                let inner = index + 1 < parts.count ? String(decoding: parts[index + 1], as: UTF8.self) : nil
                // nspawn itself waits in "supervisor", beside the machine's processes in "payload".
                if inner == "supervisor" { continue }
                let last = inner == "payload" ? index + 1 : index
                self.init(id: id, cgroup: path.utf8[..<parts[last].endIndex], isMachine: true)
                return
            }
        }
        return nil
    }

    private init(id: String, cgroup: Substring.UTF8View, isMachine: Bool) {
        self.id = id
        self.cgroup = String(decoding: cgroup, as: UTF8.self)
        self.isMachine = isMachine
    }
}

/// Whether `id` has the form docker, podman, containerd and CRI-O use: 64 lower-case hexadecimal digits.
func isEngineID(_ id: String) -> Bool {
    id.utf8.count == 64 && isHexadecimal(id)
}

/// Whether there are only lower-case hexadecimal digits.
func isHexadecimal(_ text: String) -> Bool {
    text.utf8.allSatisfy { byte in
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
    }
}

/// Whether a name is safe to print and store: 1 to 255 printable ASCII bytes, no space and no slash.
///
/// Every runtime's own rules are stricter. What passes cannot move a terminal's cursor or leave a directory.
func isPlainName(_ name: String) -> Bool {
    (1...255).contains(name.utf8.count)
        && name.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "/") }
}

/// The ID in `ID`, `docker-ID.scope`, `crio-ID`, and `kubepods-….slice:cri-containerd:ID`.
///
/// The last is what containerd makes when it takes a systemd slice for a cgroupfs path.
private func engineID(_ part: String) -> String? {
    let unit = part.before(".scope") ?? part
    let bytes = unit.utf8
    guard bytes.count >= 64 else { return nil }
    let id = String(decoding: bytes.suffix(64), as: UTF8.self)
    guard isEngineID(id) else { return nil }
    var prefix = String(decoding: bytes.dropLast(64), as: UTF8.self)
    if prefix.isEmpty { return unit == part ? id : nil }
    let separator = prefix.removeLast()
    guard separator == "-" || separator == ":", !prefix.isEmpty else { return nil }
    // conmon (crio-conmon-ID, libpod-conmon-ID) waits for the container from outside.
    return prefix.before("conmon") == nil ? id : nil
}

/// `lxc.payload.NAME`, and what older versions use: `lxc.payload/NAME` and `lxc/NAME`.
private func lxcName(_ part: String, in outer: String?) -> String? {
    if let name = part.after("lxc.payload.") { return isPlainName(name) ? name : nil }
    return (outer == "lxc" || outer == "lxc.payload") && isPlainName(part) ? part : nil
}

/// `machine-NAME.scope` and `systemd-nspawn@NAME.service`, where systemd escapes a dash as `\x2d`.
private func nspawnName(_ part: String) -> String? {
    let escaped =
        part.after("machine-")?.before(".scope") ?? part.after("systemd-nspawn@")?.before(".service")
    guard let escaped, let name = systemdUnescaped(escaped), isPlainName(name) else { return nil }
    // libvirt's virtual machines share the form, but their processes are QEMU's threads.
    return name.after("qemu-") == nil ? name : nil
}

/// Undoes `\xHH`; nil if an escape is not whole.
private func systemdUnescaped(_ text: String) -> String? {
    var bytes: [UInt8] = []
    var rest = ArraySlice(text.utf8)
    while let byte = rest.popFirst() {
        if byte != UInt8(ascii: "\\") {
            bytes.append(byte)
        } else if let digits = rest.after("x")?.prefix(2), digits.count == 2,
            let code: UInt8 = digits.number(radix: 16)
        {
            bytes.append(code)
            rest = rest.dropFirst(3)
        } else {
            return nil
        }
    }
    return bytes[...].text
}
