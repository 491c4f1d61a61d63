// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Symbolization

/// Code that a program has copied onto memory of its own, in its place (Tests/Programs/moments.c).
@Suite struct CopiedCodeTests {
    private static let source = #filePath.replacingOccurrences(
        of: "SymbolizationTests/CopiedCodeTests.swift", with: "Programs/moments.c")

    /// Runs it until it has moved, and hands out its ID.
    private func whileMoved(
        _ program: String, _ way: String, before: (Int32) -> Void = { _ in }, _ body: (Int32) throws -> Void
    ) throws {
        let process = Process()
        let said = Pipe()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["copy", way, "60"]
        process.standardOutput = said
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        before(process.processIdentifier)
        #expect(String(decoding: said.fileHandleForReading.availableData, as: UTF8.self) == "moved\n")
        try body(process.processIdentifier)
    }

    private func address(of function: String, in path: String) throws -> UInt64 {
        let index = try index(of: path)
        let number = index.symbols.indices.first { number in
            index.name(of: number).map { String(decoding: $0, as: UTF8.self) } == function
        }
        return index.symbols[try #require(number)].address
    }

    @Test(
        .enabled(if: isRoot, "another's memory cannot be read without CAP_SYS_PTRACE"),
        arguments: ["mremap", "map"], ["-pie", "-no-pie"])
    func itsFileIsFound(way: String, kind: String) throws {
        let directory = try TemporaryDirectory()
        let program = try directory.file("program")
        try output("cc", "-O1", "-g", "-pthread", "-fPIE", kind, Self.source, "-o", program)
        let place = try address(of: "works", in: program)
        try whileMoved(program, way) { process in
            let maps = try String(contentsOfFile: "/proc/\(process)/maps", encoding: .utf8)
            let isMapped = maps.split(separator: "\n").contains {
                $0.contains("r-xp") && $0.hasSuffix(program)
            }
            try #require(!isMapped, "the code still has its file")
            let symbolizer = Symbolizer(options: SymbolizerOptions())
            symbolizer.observe(process: process)
            let code = try #require(symbolizer.code(of: process))
            let region = try #require(code.first { $0.module != nil })
            #expect(place >= region.address && place - region.address < region.end - region.start)
            let frame = symbolizer.frames(
                user: region.start + place - region.address + 1, process: process, isReturnAddress: false)[0]
            #expect(frame.function == "works" && frame.functionOffset == 1 && frame.module == program)
            #expect(frame.moduleOffset == place + 1)
        }
    }

    /// Events tell of memory where the file's code was, and the same once more when it may be executed.
    @Test(.enabled(if: isRoot)) func itsFileStaysWhenItWasKnownBefore() throws {
        let directory = try TemporaryDirectory()
        let program = try directory.file("program")
        try output("cc", "-O1", "-g", "-pthread", "-no-pie", Self.source, "-o", program)
        let place = try address(of: "works", in: program)
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        // Its parent goes on before the kernel has mapped the program.
        func observe(_ process: Int32) {
            for _ in 0..<3000 {
                symbolizer.observe(process: process)
                if symbolizer.code(of: process)?.contains(where: { $0.module != nil }) == true { return }
                usleep(10_000)
            }
        }
        try whileMoved(program, "map", before: observe) { process in
            let region = try #require(symbolizer.code(of: process)?.first { $0.module != nil })
            let memory = CodeMapping(
                start: region.start, length: region.end - region.start, offset: 0, major: 0, minor: 0,
                inode: 0,
                generation: 0, path: "//anon")
            let meaning = symbolizer.meaning(of: process)
            for _ in 0..<2 {
                symbolizer.map(process: process, memory)
                let frame = symbolizer.frames(user: place + 1, process: process, isReturnAddress: false)[0]
                #expect(frame.function == "works" && frame.module == program)
            }
            #expect(symbolizer.meaning(of: process) == meaning)
        }
    }

    /// Memory next to a file's is no copy of it because it is there.
    @Test(.enabled(if: isRoot)) func otherCodeIsNot() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.file("library.so")
        let code = try directory.file("code.c")
        try "int one(int a) { return a + 1; }".write(toFile: code, atomically: false, encoding: .utf8)
        try output("cc", "-shared", "-fPIC", "-nostdlib", code, "-o", path)
        let handle = try #require(dlopen(path, RTLD_NOW))
        defer { dlclose(handle) }
        let one = try #require(dlsym(handle, "one"))
        let page = UnsafeMutableRawPointer(bitPattern: UInt(bitPattern: one) & ~4095)
        let bytes = [UInt8](repeating: 0xc3, count: 4096)
        #expect(
            mmap(page, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page)
        page?.copyMemory(from: bytes, byteCount: bytes.count)
        #expect(mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0)
        let symbolizer = Symbolizer(options: SymbolizerOptions())
        symbolizer.observe(process: getpid())
        let frame = symbolizer.frames(
            user: UInt64(UInt(bitPattern: one)), process: getpid(), isReturnAddress: false)[0]
        #expect(frame.function == nil && frame.module == "[anon]")
    }
}
