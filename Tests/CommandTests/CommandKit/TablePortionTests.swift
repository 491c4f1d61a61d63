// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Commands

/// Tables of a whole machine take a while to make: ending must not wait for all of them.
@Suite struct TablePortionTests {
    private let files = Array(0..<StackUnwinder.portion * 3 + 1)

    private func made(while isWanted: @escaping () -> Bool) -> [Int] {
        var made: [Int] = []
        let maker: ([Int], (Int, Int) -> Void) -> Void = StackUnwinder.inPortions(
            { files, use in for file in files { use(file, -file) } }, while: isWanted)
        maker(files) { file, table in
            #expect(table == -file)
            made.append(file)
        }
        return made
    }

    @Test func allAreMadeInTheirOrder() {
        #expect(made { true } == files)
    }

    @Test(arguments: 0...3)
    func noneIsBegunAfterTheEnd(portions: Int) {
        var asked = 0
        let some = made {
            asked += 1
            return asked <= portions
        }
        #expect(some == Array(files.prefix(StackUnwinder.portion * portions)))
    }
}
