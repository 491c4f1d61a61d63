// SPDX-License-Identifier: Apache-2.0

internal import CSupport
internal import Tracing

/// The version of all commands; the Makefile reads it from here.
let apusVersion = "0.1.0"

/// With the commit that it was built from, if that is known, and the library's version.
var apusFullVersion: String {
    let commit = String(cString: apus_commit())
    let parts = [commit.isEmpty ? nil : "commit \(commit)", "libbpf \(Libbpf.version)"].compactMap { $0 }
    return "\(apusVersion) (\(parts.joined(separator: ", ")))"
}
