// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

@testable import Tracing

@Suite struct BPFErrorTests {
    @Test(arguments: [
        (BPFError("load it", code: 0), "cannot load it"),
        (BPFError("load it", code: EPERM), "cannot load it: Operation not permitted"),
        (BPFError("load it", code: -EPERM), "cannot load it: Operation not permitted"),
        (BPFError("load it", code: 0, advice: "try that"), "cannot load it; try that"),
        (
            BPFError("load it", code: ENOENT, advice: "try that"),
            "cannot load it: No such file or directory; try that"
        ),
        (BPFError("load it", code: 4000), "cannot load it: unknown error"),
    ])
    func isOneSentence(error: BPFError, text: String) {
        #expect(error.description == text)
    }
}
