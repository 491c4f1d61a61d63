// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

// What a later compiler or library newly warns of must not keep anybody from building.
#if compiler(<6.4)
    let warningsAsErrors: [SwiftSetting] = [
        .treatAllWarnings(as: .error), .treatWarning("DeprecatedDeclaration", as: .warning),
    ]
#else
    let warningsAsErrors: [SwiftSetting] = []
#endif

let swiftSettings: [SwiftSetting] =
    [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableExperimentalFeature("Lifetimes"),
    ] + warningsAsErrors

// Most of the commands' code is options and set-up, which runs once: small matters more than fast.
let smallSettings = swiftSettings + [.unsafeFlags(["-Osize"], .when(configuration: .release))]

let package = Package(
    name: "apus",
    products: [.executable(name: "apus", targets: ["apus"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        // The BPF objects, compiled by the Makefile, and the layouts that both sides share.
        .target(name: "CBPFPrograms", path: "bpf", sources: ["objects.c"], publicHeadersPath: "include"),
        .systemLibrary(name: "CLibbpf", pkgConfig: "libbpf"),
        .target(name: "CSupport"),
        // For numbers that come from elsewhere.
        .target(name: "Arithmetic", swiftSettings: swiftSettings),
        .target(name: "Processes", swiftSettings: swiftSettings),
        .systemLibrary(name: "CZlib"),
        .systemLibrary(name: "CZstd"),
        // Names of C++ and Swift, compressed symbol tables, openat2.
        .target(name: "CSymbolization", linkerSettings: [.linkedLibrary("lzma"), .linkedLibrary("stdc++")]),
        .target(
            name: "Symbolization",
            dependencies: ["Arithmetic", "CSupport", "CSymbolization", "CZlib", "CZstd", "Processes"],
            swiftSettings: swiftSettings),
        // Call frame information as tables that BPF programs search.
        .target(
            name: "Unwinding", dependencies: ["CBPFPrograms", "Symbolization"], swiftSettings: swiftSettings),
        // A process of ours without privileges, which reads files that nobody trusts.
        .target(name: "CReading"),
        .target(
            name: "Reading", dependencies: ["CBPFPrograms", "CReading", "Symbolization", "Unwinding"],
            swiftSettings: swiftSettings),
        // Where to put probes, and the allocators of a process.
        .target(
            name: "Probing", dependencies: ["Arithmetic", "Processes", "Symbolization"],
            swiftSettings: swiftSettings),
        .target(
            name: "Reporting", dependencies: ["Arithmetic", "CSupport", "CZlib"], swiftSettings: swiftSettings
        ),
        .target(
            name: "Tracing",
            dependencies: ["CLibbpf", "CBPFPrograms", "CSupport", "CZlib", "Processes"],
            swiftSettings: swiftSettings),
        // The commands, what they share, and what they stand on.
        .target(
            name: "Commands",
            dependencies: [
                "Arithmetic", "CBPFPrograms", "CSupport", "Probing", "Processes", "Reading", "Reporting",
                "Symbolization",
                "Tracing", "Unwinding",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources", sources: ["Commands", "CommandKit", "Capture", "StackWalking"],
            swiftSettings: smallSettings),
        .executableTarget(name: "apus", dependencies: ["Commands"], swiftSettings: swiftSettings),
        .testTarget(
            name: "ProcessesTests", dependencies: ["Processes", "TestSupport"], swiftSettings: swiftSettings),
        .testTarget(
            name: "ProbingTests", dependencies: ["Probing", "Processes", "Symbolization", "TestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ReportingTests", dependencies: ["Arithmetic", "Reporting", "CZlib", "TestSupport"],
            swiftSettings: swiftSettings),
        // Measures tables, and hands them to scripts/check-unwind-tables.
        .executableTarget(
            name: "unwind-tables", dependencies: ["CBPFPrograms", "Symbolization", "Unwinding"],
            path: "Benchmarks/UnwindTables", swiftSettings: swiftSettings),
        // Measures how fast addresses of a process get names.
        .executableTarget(
            name: "name-addresses", dependencies: ["Reading", "Symbolization"],
            path: "Benchmarks/NameAddresses",
            swiftSettings: swiftSettings),
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: swiftSettings),
        .testTarget(
            name: "SymbolizationTests", dependencies: ["Processes", "Symbolization", "TestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "UnwindingTests",
            dependencies: ["CBPFPrograms", "Symbolization", "TestSupport", "Unwinding"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "TracingTests", dependencies: ["Tracing", "CBPFPrograms", "TestSupport"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "CommandTests",
            dependencies: [
                "Arithmetic", "Commands", "Reading", "Symbolization", "TestSupport", "Unwinding",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swiftSettings),
    ]
)
