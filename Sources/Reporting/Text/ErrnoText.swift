// SPDX-License-Identifier: Apache-2.0
internal import CSupport

/// The symbolic name of an errno ("ENOENT"), nil if it has none.
package func errnoName(_ code: Int32) -> String? {
    apus_errno_name(code).map { String(cString: $0) }
}
