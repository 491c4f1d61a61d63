// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A stack of `--json`.
struct Stack: Decodable {
    struct Frame: Decodable {
        let kind: String
        let address: UInt64
        let function: String?
        let module: String?
    }

    struct Waker: Decodable {
        let pid: Int32
        let tid: Int32
        let comm: String
        let frames: [Frame]

        func has(_ function: String) -> Bool { frames.contains { $0.function == function } }
    }

    let pid: Int32
    let tid: Int32
    let comm: String
    let samples: Int?
    let calls: Int?
    let wallNs: Int64?
    let onCpuNs: Int64?
    let offCpuNs: Int64?
    let state: String?
    let blocks: Int?
    let wait: String?
    let still: String?
    let since: String?
    let frames: [Frame]
    let waker: Waker?
    let userStackEnd: String?

    var user: [Frame] { frames.filter { $0.kind != "kernel" } }

    func has(_ function: String) -> Bool { frames.contains { $0.function == function } }

    static func all(_ output: String) throws -> [Stack] {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try output.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
            try decoder.decode(Stack.self, from: Data($0.utf8))
        }
    }
}
