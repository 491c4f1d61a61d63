# SPDX-License-Identifier: Apache-2.0
"""The kernel matrix: the same cases on every kernel Apus supports (see scripts/test-on-kernels)."""
