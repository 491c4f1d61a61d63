# SPDX-License-Identifier: Apache-2.0
"""The sections of docs/benchmarks.md, in its order.

Each module has TITLE; `measure(setup)`, which returns what can be written as JSON; and `render(figures)`, which makes
lines of Markdown of it. QUICK has the constants that `Benchmarks/run --quick` puts in place of its own.
"""

from bench.sections import (
    allocations, burst, churn, function_calls, idle, opens, reports, share, stack_cost, stack_roots, start, switches,
    symbols, unwind_tables,
)

ALL = {
    "start": start, "opens": opens, "burst": burst, "churn": churn, "switches": switches, "allocations": allocations,
    "function-calls": function_calls, "reports": reports, "stack-cost": stack_cost, "stack-roots": stack_roots,
    "symbols": symbols, "unwind-tables": unwind_tables, "share": share, "idle": idle,
}
