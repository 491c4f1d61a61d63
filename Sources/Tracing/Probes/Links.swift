// SPDX-License-Identifier: Apache-2.0
internal import CLibbpf
internal import Glibc

/// Attached programs. They are detached when this goes away, or with the process, however that ends.
package struct Links: ~Copyable {
    private var links: [OpaquePointer] = []
    /// Of links that libbpf has no object for.
    private var descriptors: [Int32] = []

    package init() {}

    mutating func add(_ link: OpaquePointer) { links.append(link) }

    mutating func add(descriptor: Int32) { descriptors.append(descriptor) }

    /// Detaches everything now: what happens from here on is no longer seen.
    package mutating func detach() {
        for link in links { bpf_link__destroy(link) }
        for descriptor in descriptors { close(descriptor) }
        links = []
        descriptors = []
    }

    deinit {
        for link in links { bpf_link__destroy(link) }
        for descriptor in descriptors { close(descriptor) }
    }
}
