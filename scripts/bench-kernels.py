"""The measurements of bench-kernels.sh. Called with TIME, it is a yardstick that is measured."""

import os
import statistics
import subprocess
import sys
import time

# What to measure: sizes, how many threads each side has, and the library beside it.
CASES = [
    *[(operation, n, threads, "numpy", threads)
      for operation in ("matmul", "matmul-f32") for n in (512, 1024, 2048, 4096) for threads in (1, 2)],
    *[(f"sort-{kind}", n, threads, "numpy", 1)
      for kind in ("i64", "u64", "f64") for n in (10**7, 10**8) for threads in (1, 2)],
    *[("factorial", n, threads, library, 1)
      for n in (10**6, 10**7) for threads in (1, 2) for library in ("gmp", "flint")],
    *[("decimal", 10**6, threads, "gmp", 1) for threads in (1, 2)],
]


def yardstick(library, operation, size):
    """What is timed, and what makes its input each time."""
    if operation.startswith("matmul"):
        import numpy
        dtype = numpy.float32 if operation == "matmul-f32" else numpy.float64
        factors = [numpy.random.default_rng(seed).random((size, size), dtype) for seed in (1, 2)]
        return lambda pair: pair[0] @ pair[1], lambda: factors
    if operation.startswith("sort"):
        import numpy
        rng = numpy.random.default_rng(1)
        keys = {
            "sort-i64": lambda: rng.integers(-2**63, 2**63 - 1, size),
            "sort-u64": lambda: rng.integers(0, 2**64 - 1, size, numpy.uint64),
            "sort-f64": lambda: rng.random(size),
        }[operation]()
        return lambda copy: copy.sort(), keys.copy
    if library == "gmp":
        import gmpy2
        if operation == "decimal":
            number = gmpy2.fac(size)
            return lambda number: number.digits(), lambda: number
        return gmpy2.fac, lambda: size
    import flint
    return flint.fmpz.fac_ui, lambda: size


def timed(library, operation, size):
    run, make = yardstick(library, operation, int(size))
    for _ in range(2):
        given = make()
        begun = time.perf_counter()
        result = run(given)
        took = time.perf_counter() - begun
        del result
    print(took)


def measured(command, threads):
    # OpenBLAS chooses for itself: what somebody had it do, for other reasons, is no yardstick.
    settings = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    settings |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    run = subprocess.run(command, env=settings, check=True, capture_output=True, text=True)
    return float(run.stdout)


def main(kernels, rounds, *wanted):
    print("| what | threads | SGDT, ms | yardstick, ms | times as fast |")
    print("|---|---|---|---|---|")
    for operation, size, threads, library, its_threads in CASES:
        if wanted and operation not in wanted:
            continue
        ours, theirs = [], []
        for _ in range(int(rounds)):
            ours.append(measured([kernels, operation, str(size), str(threads)], threads))
            command = [sys.executable, __file__, "TIME", library, operation, str(size)]
            theirs.append(measured(command, its_threads))
        ratio = statistics.median(b / a for a, b in zip(ours, theirs))
        mine, other = (1000 * statistics.median(values) for values in (ours, theirs))
        print(f"| {operation} {size:,} | {threads} | {mine:,.1f} | {library}, {its_threads}: {other:,.1f} | {ratio:.2f} |",
              flush=True)


if sys.argv[1] == "TIME":
    timed(*sys.argv[2:])
else:
    main(*sys.argv[1:])
