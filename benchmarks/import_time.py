"""How long `import plastic_env` takes beyond `import torch`: medians of interleaved fresh processes.

python benchmarks/import_time.py [runs]
"""

import statistics
import subprocess
import sys
import time

MODULES = ("torch", "plastic_env")


def seconds(module: str) -> float:
    """One fresh process that imports `module`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - start


def main(runs: int) -> None:
    """Print the medians and their difference."""
    times: dict[str, list[float]] = {module: [] for module in MODULES}
    for _ in range(runs + 1):  # the first round warms the disk cache
        for module in MODULES:
            times[module].append(seconds(module))
    torch, ours = (statistics.median(times[module][1:]) for module in MODULES)
    print(
        f"import torch {torch:.2f} s, import plastic_env {ours:.2f} s: {ours - torch:+.2f} s ({ours / torch:.2f} times)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
