"""What a glob of 2000 small objects costs over S3, with and without 2000 friends: listing, opening, and who opens what.

    python -m benchmarks.many_objects --objects 2000

Requests are counted at the server, step by step. In the last step each call has a reader of its own, which begins with
nothing: so an object is asked for as often as there are calls that open it.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import lithops
import ROOT
from servers import s3

import rdf_lithops

ENTRIES = 20  # in each file
CONFIGURATION = str(Path(__file__).resolve().parent.parent / "configs" / "localhost.yaml")
WRITE = """
void write_small(const std::string &folder, const std::string &tree_name, int files, int entries) {
   for (int file = 0; file < files; ++file) {
      TFile output(Form("%s/%s_%04d.root", folder.c_str(), tree_name.c_str(), file), "RECREATE");
      TTree tree(tree_name.c_str(), "");
      int i;
      double x;
      tree.Branch("i", &i);
      tree.Branch("x", &x);
      for (int entry = 0; entry < entries; ++entry) {
         i = file * entries + entry;
         x = 0.5 * i;
         tree.Fill();
      }
      tree.Write();
   }
}
"""


@dataclass(frozen=True)
class Row:
    """One step: what it took, and the requests that the server saw. ``opened`` counts an object once for each reader."""

    dataset: str
    step: str
    wall_s: float
    lists: int
    gets: int
    opened: int = 0
    needed: int = 0


class Counted:
    """Times steps, and counts what the server saw of each."""

    def __init__(self, server: s3.S3, dataset: str) -> None:
        self.server, self.dataset = server, dataset

    def step(self, name: str, action: Callable[[], Any], needed: int = 0) -> tuple[Any, Row]:
        """What ``action`` gives, and its row."""
        before, began = len(self.server.requests()), time.perf_counter()
        result = action()
        wall_s = time.perf_counter() - began
        made = [request for request in self.server.requests()[before:] if request.method == "GET" and request.status < 400]
        gets = [request.target.partition("?")[0] for request in made if request.target.partition("?")[0].endswith(".root")]
        row = Row(self.dataset, name, wall_s, len(made) - len(gets), len(gets), len(gets) if needed else 0, needed)
        if needed and (most := Counter(gets).most_common(1)) and len(gets) != needed:
            print(f"{len(gets)} opened, {needed} needed; most often {most}", file=sys.stderr)
        print(json.dumps(asdict(row)), flush=True)
        return result, row


def booked(main: str, friends: list[str], executor: Any, **given: Any) -> Any:
    """Sums over the dataset, and over a friend's column if there is one."""
    if not friends:
        frame = ROOT.RDataFrame("main", main, executor=executor, **given)
        return frame, frame.Sum("x")
    chain, friend = ROOT.TChain("main"), ROOT.TChain("friend")
    for name in rdf_lithops.expand([main]):
        chain.Add(name)
    for name in friends:
        friend.Add(name)
    chain.AddFriend(friend, "fr")
    frame = ROOT.RDataFrame(chain, executor=executor, **given)
    return (chain, friend, frame), frame.Filter("fr.i == i").Sum("fr.x")


def run(plan: Any, executor: Any) -> None:
    """Run a plan by hand, as its parts allow."""
    futures = executor.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task, extra_env=plan.extra_env)
    plan.deliver(executor.get_result(futures))


def files_in(plan: Any) -> int:
    """Files of all ranges together, friends' included: one that two calls share counts twice."""
    calls = [item["call"]["ranges"] for item in plan.iterdata]
    found = 0
    for ranges in calls:
        names = {name for plain in ranges for name in plain["files"]}
        names |= {name for plain in ranges for files in (plain.get("friends") or {"files": []})["files"] for name in files}
        found += len(names)
    return found


def rows_of(server: s3.S3, bucket: str, objects: int, with_friends: bool, calls: int) -> Iterator[Row]:
    """List, open, plan, run; run again; and run with a reader for each call."""
    main = f"s3://{bucket}/main_*.root"
    counted = Counted(server, f"{objects} objects" + (f" and {objects} friends" if with_friends else ""))
    expected = sum(0.5 * number for number in range(objects * ENTRIES))
    executor = lithops.FunctionExecutor(config_file=CONFIGURATION, log_level="ERROR")
    try:
        names, row = counted.step("list", lambda: rdf_lithops.expand([main]))
        assert objects == len(names)
        yield row
        friends = rdf_lithops.expand([f"s3://{bucket}/friend_*.root"]) if with_friends else []
        given = {"npartitions": calls, "options": {"ranges_per_call": 1}}
        (_kept, total), row = counted.step("make the data frame", lambda: booked(main, friends, executor, **given))
        yield row
        plan, row = counted.step("plan: survey all files", lambda: rdf_lithops.plan(total))
        yield row
        yield counted.step("run", lambda: run(plan, executor))[1]
        assert expected == total.GetValue()
        kept, again = booked(main, friends, executor, **given)
        yield counted.step("a second query", again.GetValue)[1]
        assert expected == again.GetValue()
        given["options"] = {"ranges_per_call": 1, "warm": False}
        kept, cold = booked(main, friends, executor, **given)
        cold_plan = rdf_lithops.plan(cold)
        yield counted.step(
            f"run in {calls} calls that share nothing", lambda: run(cold_plan, executor), files_in(cold_plan)
        )[1]
        assert expected == cold.GetValue()
        del kept
    finally:
        executor.__exit__(None, None, None)


def upload(server: s3.S3, bucket: str, folder: Path) -> None:
    """Put all files of ``folder`` into the bucket."""
    with contextlib.closing(server.client()) as client, concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: client.upload_file(str(path), bucket, path.name), sorted(folder.iterdir())))


def main() -> None:
    """Print a row for each step as JSON, then all as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=4)
    given = parser.parse_args()
    ROOT.gROOT.SetBatch(True)
    ROOT.gInterpreter.Declare(WRITE)
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(s3.running(folder / "s3"))
        bucket = stack.enter_context(server.bucket())
        os.environ.update(server.environment)
        made = folder / "made"
        made.mkdir()
        for tree in ("main", "friend"):
            ROOT.write_small(str(made), tree, given.objects, ENTRIES)
        upload(server, bucket, made)
        for with_friends in (False, True):
            rows += rows_of(server, bucket, given.objects, with_friends, given.calls)
    print(f"\n{'dataset':30} {'step':36} {'wall s':>8} {'lists':>6} {'GETs':>6} {'opened':>7} {'needed':>7}")
    for row in rows:
        numbers = f"{row.wall_s:8.2f} {row.lists:6} {row.gets:6} {row.opened or '':>7} {row.needed or '':>7}"
        print(f"{row.dataset:30} {row.step:36} {numbers}")


if __name__ == "__main__":
    main()
