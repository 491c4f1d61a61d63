# SPDX-License-Identifier: Apache-2.0
"""What `Benchmarks/run` and `Benchmarks/soak` are made of: one module for each section in `sections`, and what they share."""
