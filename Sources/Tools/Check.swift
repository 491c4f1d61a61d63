// SPDX-License-Identifier: Apache-2.0
package import ArgumentParser

package struct Check: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Say what this kernel, these privileges and this machine's limits allow.")
    package init() {}
    package func run() throws {}
}
