// SPDX-License-Identifier: Apache-2.0

/// The colours of a picture: one hue per kind of frame, one of several shades of it per function.
struct FlamePalette {
    static let shadeCount = 32
    /// Steps of a comparison to each side of "the same".
    static let differenceSteps = 10

    /// By kind: the first and the last hue of the shades, saturation and lightness in percent.
    private let hues: [(first: Double, last: Double, saturation: Double, lightness: Double)]
    /// What the legend calls each kind.
    let names: [String]

    init(_ kind: FlameGraph.Palette) {
        names = ["user", "kernel", "inlined", "JIT", "process, note", "off-CPU"]
        switch kind {
        case .cpu:
            hues = [
                (24, 51, 88, 66), (2, 19, 80, 66), (178, 192, 48, 64), (92, 126, 45, 64), (220, 230, 10, 82),
                (208, 226, 66, 72),
            ]
        case .offCPU:
            hues = [
                (203, 216, 70, 72), (226, 246, 62, 74), (182, 192, 48, 68), (158, 170, 40, 66),
                (220, 230, 10, 84), (226, 246, 62, 74),
            ]
        case .memory:
            hues = [
                (108, 138, 46, 66), (66, 84, 48, 62), (172, 186, 44, 66), (48, 58, 62, 68),
                (220, 230, 10, 82), (208, 226, 66, 72),
            ]
        }
    }

    /// The shade of a function: the same in every picture (FNV-1a, mixed once more and cut to five bits).
    static func shade(_ function: String) -> Int {
        var hash: UInt32 = 0x811c_9dc5
        for byte in function.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
        hash = (hash ^ hash >> 15) &* 0x9e37_79b1
        return Int(hash >> 27)
    }

    /// "#rrggbb" of every shade of a kind.
    func shades(_ kind: Profile.Frame.Kind, dark: Bool) -> [String] {
        let hue = hues[kind.rawValue]
        return (0..<Self.shadeCount).map { shade in
            let step = Double(shade) / Double(Self.shadeCount - 1)
            // Neighbouring hues get different lightness, else they cannot be told apart.
            let lightness = hue.lightness + Double(shade * 7 % 5 - 2) * 1.8
            return hexColour(
                hue: hue.first + (hue.last - hue.first) * step,
                saturation: dark ? hue.saturation * 0.72 : hue.saturation,
                lightness: dark ? lightness - 12 : lightness)
        }
    }

    /// From "shrank most" (blue) through "the same" to "grew most" (red).
    static func differences(dark: Bool) -> [String] {
        (-differenceSteps...differenceSteps).map { step in
            let strength = Double(step.magnitude) / Double(differenceSteps)
            let same = dark ? 78.0 : 96.0
            return hexColour(
                hue: step < 0 ? 215 : 6, saturation: step == 0 ? 0 : dark ? 62 : 82,
                lightness: same - strength * (dark ? 30 : 38))
        }
    }
}

private func hexColour(hue: Double, saturation: Double, lightness: Double) -> String {
    let lightness = lightness / 100
    let chroma = saturation / 100 * min(lightness, 1 - lightness)
    func channel(_ offset: Double) -> String {
        let place = (offset + hue / 30).truncatingRemainder(dividingBy: 12)
        let part = max(-1, min(place - 3, 9 - place, 1))
        let byte = UInt8(((lightness - chroma * part) * 255).rounded())
        return (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    return "#" + channel(0) + channel(8) + channel(4)
}
