// SPDX-License-Identifier: Apache-2.0

let profileDiscussion = """
    Samples the stack on every CPU 49 times a second, and counts identical stacks of each process. Where the \
    machine has performance counters it samples CPU cycles, else the CPU clock; it says which.

    OUTPUT: As BCC's profile: the frames, the kernel's first, the innermost first; then the process and how often \
    it was seen so. The largest comes last. With --json each stack is an object with all that is known of its \
    frames, and start_ns, Unix time of the start of its process: numbers are used again. With --off-cpu the values \
    are microseconds of each thread's time: state=on-cpu for what was sampled, and \
    state=off-cpu, with wait= as in offcputime, for what it spent asleep, blocked or waiting for a CPU. In folded \
    stacks and pictures the latter end in a frame such as [off-CPU: lock]; in pictures they are blue. pprof gets \
    the values wall, on_cpu and off_cpu, and state and wait as tags.

    EXAMPLES: A flame graph of the whole machine over ten seconds:

        profile -F 99 --flamegraph cpu.svg 10

    Where does one thread burn its time?

        profile -F 99 -p 1234 10

    Where does all of its time go, running and waiting?

        profile --off-cpu -F 99 -p 1234 --flamegraph wall.html 10

    OVERHEAD: One interrupt for each sample; with --off-cpu also what offcputime costs. docs/benchmarks.md has figures.

    LIMITS: A stack whose outer frames could not be found ends with a line that begins with "[cut:" and says why. \
    Code made at run time is walked by its frame pointers. Frames of processes that have ended are named too, unless \
    their files were deleted before they could be opened, or the kernel refuses to tell of new mappings (-v says so).

    COMPATIBILITY: The options of BCC's profile and of libbpf-tools' are there. --hash-storage-size has no effect, \
    and --stack-storage-size matters only with --off-cpu: samples are not stored in the kernel. The banner goes to stderr.
    """
