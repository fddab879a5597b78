"""``python -m chaos.soak``: 500 small runs in a row, 50 from 8 threads at once, on both of Lithops' localhost backends."""

from __future__ import annotations

import argparse
import concurrent.futures
import statistics
import sys
import time

import lithops
import ROOT

from chaos import family

HANG_S = 120.0


def small(fexec: lithops.FunctionExecutor) -> float:
    """Seconds of one query of 100 entries; raises if its answer is wrong."""
    began = time.monotonic()
    counted = ROOT.RDataFrame(100, executor=fexec, npartitions=2).Count().GetValue()
    if counted != 100:
        raise AssertionError(f"expected 100 entries, got {counted}")
    return time.monotonic() - began


def main() -> int:
    """Print runs, hangs and seconds; status 1 if one hung, failed or was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-a-row", type=int, default=500)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--versions", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    bad = 0
    for version in given.versions:
        with family.executor(version) as fexec:
            for runs, threads in ((given.in_a_row, 1), (given.at_once, given.threads)):
                if not runs:
                    continue
                pool = concurrent.futures.ThreadPoolExecutor(threads)
                futures = [pool.submit(small, fexec) for _ in range(runs)]
                seconds, failed, hung = [], 0, 0
                for future in futures:
                    try:
                        seconds.append(future.result(HANG_S))
                    except concurrent.futures.TimeoutError:
                        hung += 1
                    except Exception as error:
                        print(f"  {error!r}", flush=True)
                        failed += 1
                pool.shutdown(wait=not hung, cancel_futures=True)
                median_s = statistics.median(seconds) if seconds else float("nan")
                print(
                    f"localhost v{version}: {runs} runs from {threads} threads: {hung} hung, {failed} failed; "
                    f"median {median_s:.2f} s, longest {max(seconds, default=float('nan')):.2f} s",
                    flush=True,
                )
                bad += failed + hung
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
