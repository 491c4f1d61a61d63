// SPDX-License-Identifier: Apache-2.0

extension ContainerFinder {
    /// Why no one container could be chosen.
    package enum FindError: Error, Equatable, CustomStringConvertible {
        /// None has this name or ID. `running` are the names of those that run.
        case none(String, running: [String])
        /// Several have this name, or IDs that start so: `candidates`, each with its ID.
        case ambiguous(String, candidates: [String])

        /// One sentence that says what is wrong and what to do, with up to five containers.
        package var description: String {
            switch self {
            case .none(let name, let running) where running.isEmpty:
                "No container \"\(name)\" was found: this user can see none running, so start it or use root."
            case .none(let name, let running):
                "No running container has the name or ID \"\(name)\": name one of \(Self.list(running))."
            case .ambiguous(let name, let candidates):
                "\"\(name)\" could be any of \(Self.list(candidates)): give a whole name or more of the ID."
            }
        }

        private static func list(_ names: [String]) -> String {
            let shown = names.prefix(5).joined(separator: ", ")
            return names.count > 5 ? "\(shown) and \(names.count - 5) more" : shown
        }
    }
}
