// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Processes

@Suite struct TopLevelNameTests {
    @Test(arguments: [
        (#"{"Name":"/web"}"#, "/web"),
        (#" { "ID" : 1 , "Name" : "/web" } "#, "/web"),
        (#"{"Config":{"Name":"inner"},"Args":["Name",{"Name":"deeper"}],"Name":"/web"}"#, "/web"),
        (#"{"Path":"Name","Name":"/web"}"#, "/web"),
        (#"{"Path":"\"Name\":\"x\"","Name":"/web"}"#, "/web"),
        (#"{"Path":"}{[\\","Name":"/web"}"#, "/web"),
        (#"{"\u004eame":"/web"}"#, "/web"),
        (#"{"Name":"\"\\\/\b\f\n\r\t"}"#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#"{"Name":"\u00e9\ud83d\ude00é"}"#, "é😀é"),
        (#"{"Name":"\ud83dx\ude00\ud83d\u0041"}"#, "\u{FFFD}x\u{FFFD}\u{FFFD}A"),
        (#"{"Name":""}"#, ""),
        (#"{"Name":"cut","Oth"#, "cut"),
        (#"{"NoName":"x","name":"y","Name":"/web"}"#, "/web"),
    ])
    func finds(json: String, name: String) {
        #expect(topLevelName(inJSON: Array(json.utf8)) == name)
    }

    @Test(arguments: [
        "", " ", "{", "{}", "[]", "null", #""Name""#, #"["Name","x"]"#, #"[{"Name":"x"}]"#, #"{"Name""#,
        #"{"Name":"#,
        #"{"Name":"cut"#, #"{"Name":"cut\"#, #"{"Name":"\u12"}"#, #"{"Name":"\u12g4"}"#,
        #"{"Name":"\u+123"}"#,
        #"{"Name":null}"#, #"{"Name":{"Name":"x"}}"#, #"{"Name":["x"]}"#, #"{"Config":{"Name":"x"}}"#,
        #"{"A":1},"Name":"x""#, #"}"Name":"x""#, #"{]"Name":"x""#, "{\"Name\0\":\"x\"}", "\0\0\0",
    ])
    func findsNothing(json: String) {
        #expect(topLevelName(inJSON: Array(json.utf8)) == nil)
    }

    @Test func deepNestingEnds() {
        #expect(topLevelName(inJSON: Array(repeating: UInt8(ascii: "{"), count: 1 << 18)) == nil)
        let brackets =
            #"{"a":"# + String(repeating: "[", count: 1 << 16) + String(repeating: "]", count: 1 << 16)
        #expect(topLevelName(inJSON: Array((brackets + #","Name":"x"}"#).utf8)) == "x")
    }

    @Test func bytesThatAreNotTextDoNotHide() {
        #expect(
            topLevelName(inJSON: Array("{\"a\":\"".utf8) + [0xFF, 0xC0] + Array("\",\"Name\":\"x\"}".utf8))
                == "x")
    }
}
