// SPDX-License-Identifier: Apache-2.0
internal import CBPFPrograms

/// A BPF object file that is part of this executable.
package struct ObjectImage {
    package let name: String
    package let bytes: UnsafeRawBufferPointer

    /// Every embedded object, in the order of their names.
    package static var all: [ObjectImage] {
        (0..<Int(apus_object_count)).map { index in
            let object = apus_object_at(UInt(index)).pointee
            return ObjectImage(
                name: String(cString: object.name),
                bytes: UnsafeRawBufferPointer(start: object.bytes, count: Int(object.size)))
        }
    }

    /// The image with this name; asking for one that is not there is a mistake in the program.
    package static func named(_ name: String) -> ObjectImage {
        guard let image = all.first(where: { $0.name == name }) else {
            preconditionFailure("no BPF object named \(name) is embedded")
        }
        return image
    }
}
