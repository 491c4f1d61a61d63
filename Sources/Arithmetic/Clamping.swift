// SPDX-License-Identifier: Apache-2.0

/// Arithmetic on numbers that come from elsewhere: files, other processes, the kernel. A result that does not fit is the
/// nearest number that the type has, where the plain operators would end the program.
///
/// Addresses wrap around instead, as they do in a machine: for them there are `&+` and `&-`.
extension FixedWidthInteger {
    /// The sum, or the nearest number.
    @inlinable package func addingClamped(_ other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return !overflow ? sum : other < 0 ? .min : .max
    }

    /// The difference, or the nearest number: of unsigned numbers never below 0.
    @inlinable package func subtractingClamped(_ other: Self) -> Self {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return !overflow ? difference : other < 0 ? .max : .min
    }

    /// The product, or the nearest number.
    @inlinable package func multipliedClamped(by other: Self) -> Self {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return !overflow ? product : (self < 0) != (other < 0) ? .min : .max
    }

    /// A number rounded to a whole one, or the nearest that the type has; 0 for what is no number.
    @inlinable package init(clampingRounded value: Double) {
        let rounded = value.rounded()
        self = Self(exactly: rounded) ?? (rounded.isNaN ? 0 : rounded < 0 ? .min : .max)
    }
}
