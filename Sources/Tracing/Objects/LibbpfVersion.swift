// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf

package enum Libbpf {
    /// Of the library that this executable holds, such as "1.5.0".
    package static var version: String {
        let text = String(cString: libbpf_version_string())
        return text.hasPrefix("v") ? String(text.dropFirst()) : text
    }
}
