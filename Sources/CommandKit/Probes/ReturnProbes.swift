// SPDX-License-Identifier: Apache-2.0
internal import ArgumentParser

/// When the returns of user functions are seen by return probes of the kernel.
package enum ReturnProbes: String, ExpressibleByArgument, CaseIterable {
    /// For a function that is named in full, if its return instructions cannot be found.
    case auto
    case always
    case never
}
