// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Symbolization

/// What is kept of processes and files, and for how long.
@Suite struct RememberedTests {
    private func mappings(_ text: String) -> [Mapping] { Mapping.executable(in: Array(text.utf8)) }

    private func image() -> ProcessImage { ProcessImage(since: 0) }

    private func update(_ image: ProcessImage, _ text: String) -> Int {
        var made = 0
        _ = image.update(mappings(text), at: 1) { mapping in
            made += 1
            return ProcessImage.Region(mapping: mapping, content: .other, name: mapping.cleanPath)
        }
        return made
    }

    @Test func onlyNewMappingsAreMade() {
        let image = image()
        let first = "1000-2000 r-xp 0 0:0 0 a\n3000-4000 r-xp 0 0:0 0 b\n"
        #expect(update(image, first) == 2)
        #expect(update(image, first) == 0)
        #expect(update(image, first + "5000-6000 r-xp 0 0:0 0 c\n") == 1)
        #expect(image.region(at: 0x5fff)?.name == "c" && image.region(at: 0x6000) == nil)
    }

    @Test func oldMappingsStayWhereNoneTakeTheirPlace() {
        let image = image()
        _ = update(image, "1000-2000 r-xp 0 0:0 0 a\n3000-4000 r-xp 0 0:0 0 b\n5000-7000 r-xp 0 0:0 0 c\n")
        _ = update(image, "3000-3800 r-xp 0 0:0 0 d\n6000-6800 r-xp 0 0:0 0 e\n8000-9000 r-xp 0 0:0 0 f\n")
        let names = stride(from: UInt64(0x1000), to: 0x9000, by: 0x800).map {
            image.region(at: $0)?.name ?? ""
        }
        #expect(names == ["a", "a", "", "", "d", "b", "", "", "c", "c", "e", "c", "", "", "f", "f"])
    }

    @Test func notAllThatEverWasIsKept() {
        let image = image()
        for round in 0..<3000 {
            let start = String(0x10_0000 + round * 0x1000, radix: 16)
            let end = String(0x10_1000 + round * 0x1000, radix: 16)
            _ = update(image, "\(start)-\(end) r-xp 0 0:0 0 x\n")
        }
        let kept = (0..<3000).filter { image.region(at: UInt64(0x10_0000 + $0 * 0x1000)) != nil }
        #expect(kept.count < 1100 && kept.last == 2999)
    }

    @Test func filesThatNobodyUsesAreClosed() throws {
        let directory = try TemporaryDirectory()
        let registry = ModuleRegistry(debugRoot: "/nonexistent")
        let root = open("/", O_RDONLY | O_DIRECTORY)
        defer { close(root) }
        let place = ModuleRegistry.Place(directory: "/nonexistent", root: root)
        let bytes = Data(ELFImage(symbols: [.init(name: "f", value: 0x1000, size: 4)]).bytes)
        func module(_ number: Int) throws -> Module? {
            let path = try directory.file("file\(number)")
            if access(path, F_OK) != 0 { try bytes.write(to: URL(fileURLWithPath: path)) }
            var information = stat()
            #expect(stat(path, &information) == 0)
            let device = (information.st_dev >> 8 & 0xfff, information.st_dev & 0xff)
            let text =
                "1000-2000 r-xp 1000 \(String(device.0, radix: 16)):\(String(device.1, radix: 16)) "
                + "\(information.st_ino) \(path)\n"
            return registry.module(of: try #require(mappings(text).first), at: place)
        }
        let used = try (0..<10).map { try #require(try module($0)) }
        for number in 10..<400 { #expect(try module(number) != nil) }
        #expect(Array(registry.modules).count == 400 && registry.filesOpened == 400)
        registry.removeUnused()
        #expect(Array(registry.modules).count == 256)
        // Those in use are the same as before.
        for (number, known) in used.enumerated() { #expect(try module(number) === known) }
        #expect(registry.filesOpened == 400)
    }
}
