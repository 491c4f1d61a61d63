// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Testing

@testable import Commands

@Suite struct StackOptionTests {
    @Test func thePeersOptionsParse() throws {
        let profile = try #require(
            try ProfileCommand.parseAsRoot(["-F", "99", "-p", "1", "-adfI", "-C", "0", "-U", "10"])
                as? ProfileCommand)
        #expect(profile.frequency == 99 && profile.annotate && profile.stacks.folded && profile.cpu == 0)
        #expect(profile.common.duration == 10)
        #expect(
            try #require(try ProfileCommand.parseAsRoot(["-L", "4,5"]) as? ProfileCommand).targets.threads?
                .ids == [4, 5])
        let off = try #require(
            try Offcputime.parseAsRoot(["-f", "-p", "1", "-m", "100", "-M", "200", "--state", "2", "-K", "3"])
                as? Offcputime)
        #expect(off.least == 100 && off.most == 200 && off.state == 2 && off.stacks.kernelOnly)
    }

    @Test(arguments: [
        ["profile", "-U", "-K"], ["profile", "-F", "0"], ["profile", "-F", "9", "-c", "10000"],
        ["offcputime", "0"],
        ["offcputime", "-u", "-k"], ["offcputime", "-m", "5", "-M", "5"],
        ["profile", "--flamegraph", "x.png"],
        ["offcputime", "--stack-storage-size", "0"], ["profile", "-C", "-1"],
    ])
    func wrongUsageIsRefused(words: [String]) {
        #expect(throws: (any Error).self) { _ = try Apus.parseAsRoot(words) }
    }
}
