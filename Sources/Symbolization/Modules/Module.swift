// SPDX-License-Identifier: Apache-2.0

/// One version of an ELF file, or the vdso. What it says of addresses, a `CodeReader` knows.
package final class Module {
    /// Never the same for two modules of a symbolizer.
    package private(set) var number: Int
    /// As the process sees it.
    package let path: String
    let buildID: String?
    package let buildIDBytes: [UInt8]
    let stamp: FileStamp?
    /// Where the parts of the file go in memory.
    let segments: SegmentMap
    /// Its bytes.
    package let source: ByteSource
    /// The separate debug file that was found.
    package private(set) var debugFile: DebugFile?
    /// Where its file lies, if that is in another root than ours.
    let place: FilePlace?
    /// Whether it does not tell by itself all that a debug file would.
    private let isStripped: Bool
    private let reader: any CodeReader

    /// Set by the owner at each use, to find what was not used for longest.
    var lastUse: UInt64 = 0

    package init(
        number: Int, path: String, source: ByteSource, facts: CodeFileFacts, debugFile: DebugFile?,
        reader: any CodeReader, place: FilePlace? = nil
    ) {
        self.place = place
        self.number = number
        self.path = path
        self.source = source
        self.debugFile = debugFile
        self.reader = reader
        buildIDBytes = facts.buildID ?? []
        buildID = facts.buildID.map { hexadecimal($0) }
        isStripped = !facts.isComplete
        segments = SegmentMap(facts.segments)
        if case .file(let file) = source { stamp = file.stamp } else { stamp = nil }
    }

    deinit { reader.forget(module: number) }

    /// For files that it names.
    package var owner: RelatedFile.Owner {
        var descriptor: Int32 = -1
        if case .file(let file) = source { descriptor = file.descriptor }
        let debugPlace = place.flatMap { place in
            debugFile?.path.map { FilePlace(root: place.root, path: $0) }
        }
        return RelatedFile.Owner(
            file: descriptor, debugFile: debugFile?.file.descriptor, place: place, debugPlace: debugPlace)
    }

    /// The version of its file now.
    var currentStamp: FileStamp? {
        if case .file(let file) = source { file.stamp } else { nil }
    }

    /// Whether a debug file may be had from elsewhere.
    package var lacksDebugFile: Bool { isStripped && debugFile == nil && buildID != nil && stamp != nil }

    /// Forgets what was found out without a debug file, by another number.
    func beginAgain(number: Int) {
        reader.forget(module: self.number)
        self.number = number
    }

    /// Takes a debug file from elsewhere, which is known to belong to it, before names are asked for.
    func fetchDebugFile(from server: DebugFileServer) {
        guard lacksDebugFile, let buildID else { return }
        debugFile = server.find(buildID: buildID, of: path, reader).map { DebugFile(file: $0, checksum: nil) }
    }
}
