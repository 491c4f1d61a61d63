// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Testing

@testable import Commands

@Suite struct SchedulerOptionTests {
    @Test func thePeersOptionsParse() throws {
        let slower = try #require(try Runqslower.parseAsRoot(["-P", "-p", "1", "500"]) as? Runqslower)
        #expect(slower.threshold == 500 && slower.previous && slower.targets.processes == IDList(ids: [1]))
        #expect(try #require(try Runqslower.parseAsRoot([]) as? Runqslower).threshold == 10_000)
        #expect(try #require(try Runqslower.parseAsRoot(["0"]) as? Runqslower).threshold == 0)
        let prefix = try #require(try Runqslower.parseAsRoot(["-c", "pre"]) as? Runqslower)
        #expect(prefix.targets.comm == "pre" && prefix.targets.commIsPrefix)
        let lat = try #require(try Runqlat.parseAsRoot(["-m", "-T", "-L", "-p", "5", "1", "10"]) as? Runqlat)
        #expect(lat.intervals.interval == 1 && lat.intervals.count == 10 && lat.intervals.byThread)
        #expect(try #require(try Cpudist.parseAsRoot(["-O", "-P", "-e"]) as? Cpudist).histograms.percentiles)
    }

    @Test(arguments: [
        ["runqslower", "x"], ["runqslower", "-1"], ["runqlat", "-P", "-L"], ["runqlat", "0"],
        ["runqlat", "1", "0"],
        ["runqlat", "--pidnss", "-P"], ["cpudist", "--max-keys", "0"],
        ["runqslower", "-c", "a", "--comm", "b"],
        ["runqlat", "-c", "/a", "--cgroup", "/b"],
    ])
    func wrongUsageIsRefused(words: [String]) {
        #expect(throws: (any Error).self) { _ = try Apus.parseAsRoot(words) }
    }
}
