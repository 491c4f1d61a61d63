// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Tracing

/// Which of an object's programs are kept on which kernel.
@Suite struct VariantTests {
    private func kept(_ object: String, native: Bool, preemptible: Bool, without: [String] = []) throws
        -> Set<
            String
        >
    {
        let image = ObjectImage.named(object)
        let opened = try OpenObject(image)
        for program in without { opened.disable(program) }
        opened.chooseVariants(native: native) { preemptible }
        let names = try ObjectLayout.programs(of: image).map(\.name)
        return Set(names.filter { opened.isWanted($0) })
    }

    private static let objects = ObjectImage.all.map(\.name)

    @Test(arguments: objects, [false, true])
    func everyHookKeepsOneProgramOrItsPair(object: String, preemptible: Bool) throws {
        let all = Set(try ObjectLayout.programs(of: ObjectImage.named(object)).map(\.name))
        let found = try kept(object, native: true, preemptible: preemptible)
        for name in all where name.hasSuffix("_event") || name.hasSuffix("_record") {
            let plain = name.split(separator: "_").dropLast().joined(separator: "_")
            #expect(all.contains(plain), "\(name)")
            #expect(found.contains(name) == preemptible, "\(name)")
            #expect(found.contains(plain) == !preemptible, "\(plain)")
        }
        for name in all where name.hasSuffix("_again") {
            let plain = String(name.dropLast("_again".count))
            #expect(found.contains(plain), "\(plain)")
            #expect(found.contains(name) == preemptible, "\(name)")
        }
        #expect(!found.contains { $0.hasSuffix("_raw") })
    }

    @Test func withoutTypesOfTheKernelsOwnTheyAreRaw() throws {
        let found = try kept("opensnoop", native: false, preemptible: true)
        #expect(found.contains("syscall_return_raw"))
        #expect(found.isDisjoint(with: ["syscall_return", "syscall_return_event", "io_uring_completed"]))
        #expect(found.isSuperset(of: ["follow_fork", "follow_fork_again", "io_uring_completed_record"]))
    }

    @Test func whatWasLeftOutStaysOutAndIsNotAskedFor() throws {
        let follow = ["follow_fork", "follow_fork_again", "follow_exit"]
        let found = try kept("runqlat", native: true, preemptible: true, without: follow)
        #expect(found.isDisjoint(with: follow))
        let opened = try OpenObject(ObjectImage.named("runqlat"))
        for program in follow { opened.disable(program) }
        var asked = false
        opened.chooseVariants(native: true) {
            asked = true
            return true
        }
        #expect(!asked)
    }
}
