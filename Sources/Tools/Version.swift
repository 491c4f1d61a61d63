// SPDX-License-Identifier: Apache-2.0

/// The version of all commands; the Makefile reads it from here.
let apusVersion = "0.1.0"
