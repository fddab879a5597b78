"""The fold of many or large partials: a tree of map_reduce in range order, with the result of one reducer."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

import lithops
import pytest
import ROOT
from conftest import CAPTURED, LOCALHOST_CONFIG
from hypothesis import given
from hypothesis import strategies as st

import rdf_lithops
from rdf_lithops.executor.leftovers import RUNS_PREFIX
from rdf_lithops.fold.order import FoldLimits, one_fold_s
from rdf_lithops.fold.shelf import Shelf, Shelved, bundle, shelf_of, size_of, unbundle
from rdf_lithops.planning.outlook import fold_shape
from rdf_lithops.processes import warm, wire
from rdf_lithops.processes.beats import Pulse
from rdf_lithops.run import early_folds
from rdf_lithops.run.events import Event, FoldRoundEnded, ReduceEnded
from rdf_lithops.run.fold_rounds import next_round
from rdf_lithops.travels.envelope import Envelope, EnvelopeError, pack, unpack

PROGRAM = """
import sys
import lithops  # whose own name "wait" is the function
from rdf_lithops.worker.start import pre_run
pre_run.begin()
for backend in ("aws_s3", "localhost"):
    monitor = type("Monitor", (), {"type": "storage", "storage_backend": backend})
    print(sys.modules["lithops.wait"]._poll_sleep_sec(monitor, None))
"""
SMALL = {"ranges_per_call": 1, "fold_partials": 3}


@given(st.integers(1, 5000), st.floats(1.0, 1e10), st.integers(2, 300), st.integers(1, 2**33))
def test_every_round_is_smaller(partials: int, partial_bytes: float, most: int, most_bytes: int) -> None:
    """A tree ends: whatever the sizes and limits, each round has fewer calls than the one before, and the last has one."""
    limits = FoldLimits(most, most_bytes)
    shape = fold_shape(partials, partial_bytes, one_fold_s(1, partial_bytes), limits)
    assert 1 == shape[-1]
    assert sorted(shape, reverse=True) == shape
    assert shape == [1] or shape[0] < partials
    if partials > 2:
        assert 1 <= limits.groups(partials, partial_bytes) < partials


def test_one_reducer_for_a_few() -> None:
    """A tree is for many partials, or large ones."""
    limits = FoldLimits(256, 500 * 2**20)
    assert [1] == fold_shape(256, 50e3, 1.0, limits)
    assert [32, 1] == fold_shape(1000, 50e3, 1.0, limits)
    assert [8, 4, 2, 1] == fold_shape(16, 200e6, 1.0, limits)
    assert [1] == fold_shape(2, 9e9, 9.0, limits)


def test_a_tree_where_it_is_sooner() -> None:
    """Without a number from the user it depends on what folding takes; benchmarks/README.md says where the two meet."""
    limits = FoldLimits(4096, 2**31, round_s=2.5)
    many, one = one_fold_s(200, 310e3), one_fold_s(1, 1.5e3)
    assert [1] == fold_shape(100, 310e3, many, limits)
    assert [32, 1] == fold_shape(1000, 310e3, many, limits)
    assert [1] == fold_shape(1000, 1.5e3, one, limits)
    assert [1] == fold_shape(4, 400e6, one_fold_s(10_000, 400e6), limits), "two groups of two save nothing"


@pytest.mark.slow
def test_the_reducer_asks_for_a_tree(fexec: Any) -> None:
    """It is asked for by how much there is to fold, as the partials are: many histograms, and not one."""
    for histograms, rounds in ((1, 0), (200, 1)):
        frame = ROOT.RDataFrame(400, executor=fexec, npartitions=200, options={"ranges_per_call": 1})
        events = told(frame)
        booked = [frame.Histo1D((f"h{i}", "", 4, 0.0, 400.0), "rdfentry_") for i in range(histograms)]
        assert 400 == booked[-1].GetEntries()
        assert rounds == sum(isinstance(event, FoldRoundEnded) for event in events)


@pytest.fixture
def no_early_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree is folded in rounds, whenever its calls end."""
    monkeypatch.setattr(early_folds, "SEEN_SHARE", 2.0)


class Folder:
    """A storage of a folder, with the four names that a shelf uses of Lithops' own."""

    bucket = "bucket"

    def __init__(self, path: Any) -> None:
        self.path = path

    def put_object(self, bucket: str, key: str, data: bytes) -> None:
        """Write a file."""
        path = self.path / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def get_object(self, bucket: str, key: str) -> bytes:
        """Read a file."""
        return bytes((self.path / bucket / key).read_bytes())


def test_a_shelf(tmp_path: Any) -> None:
    """What is put on a shelf comes back as it was; small things and failures stay in their envelopes; copies do not meet."""
    storage, shelf = Folder(tmp_path), Shelf("run/partials", 1000)
    large = pack(Envelope((4, 5), 7, "6.40", os.urandom(5000), facts={"call_s": 1.5}))
    small, failed = pack(Envelope((1,), 3, "6.40", b"x")), pack(Envelope((2,), None, "", error={"kind": "k" * 2000}))
    references = [shelf.put(each, storage) for each in (large, small, failed, large)]
    assert [small, failed] == references[1:3]
    first, again = unpack(references[0]), unpack(references[3])
    assert first.stored is not None
    assert again.stored is not None
    assert first.stored["key"] != again.stored["key"]
    assert (len(large), b"", (4, 5), 7) == (size_of(first), first.body, first.range_ids, first.entries)
    assert {"call_s": 1.5, "stored_bytes": len(large)} == first.facts
    assert [large, small, failed, large] == list(Shelved(references, storage))
    assert large == shelf.put(large, None)


def test_a_shelf_is_checked(tmp_path: Any) -> None:
    """What was damaged there, or is another call's, is an error and never folded."""
    storage, shelf = Folder(tmp_path), Shelf("run", 10)
    reference = shelf.put(pack(Envelope((0,), 1, "6.40", b"a" * 100)), storage)
    stored = unpack(reference).stored
    assert stored is not None
    storage.put_object("bucket", stored["key"], pack(Envelope((1,), 1, "6.40", b"a" * 100)))
    with pytest.raises(EnvelopeError, match=r"expected ranges \(0,\)"):
        list(Shelved([reference], storage))
    storage.put_object("bucket", stored["key"], b"short")
    with pytest.raises(EnvelopeError, match="expected an envelope"):
        list(Shelved([reference], storage))


def test_a_sum_goes_where_its_partials_are(tmp_path: Any) -> None:
    """A sum goes to the folder of its partials; nowhere, if none was on a shelf; what is no result yet stays."""
    storage, large = Folder(tmp_path), pack(Envelope((0,), 1, "6.40", b"a" * 100))
    assert shelf_of([unpack(large)]) is None
    found = shelf_of([unpack(large), unpack(Shelf("run/partials", 10).put(large, storage))])
    assert found is not None
    assert "run/partials" == found.prefix
    handed_on = bundle([large], {})
    assert handed_on == Shelf("run", 10).put(handed_on, storage)


def test_a_bundle() -> None:
    """Partials that are handed on come out in range order, each as it was."""
    packed = [pack(Envelope((number,), 1, "6.40", os.urandom(number))) for number in (3, 1, 2)]
    envelope = unpack(bundle(packed, {}))
    assert (1, 2, 3) == envelope.range_ids
    assert [packed[1], packed[2], packed[0]] == unbundle(envelope)


def booked(frame: Any) -> list[Any]:
    """Results of several kinds, with variations and a cut flow."""
    cut = frame.Define("x", "double(rdfentry_ % 97)").Filter("x > 3", "above 3")
    varied = cut.Vary("x", "ROOT::RVecD{x - 1, x + 1}", ["down", "up"])
    nominal = varied.Histo1D(("h", "", 50, 0.0, 100.0), "x")
    return [nominal, ROOT.RDF.Experimental.VariationsFor(nominal), cut.Count(), cut.Report(), cut.AsNumpy(["x"], lazy=True)]


def measured(results: list[Any]) -> list[Any]:
    """The results as values that compare."""
    nominal, variations, count, report, arrays = results
    histograms = [nominal.GetValue(), *(variations[str(name)] for name in variations.GetKeys())]
    contents = [[h.GetBinContent(i) for i in range(h.GetNbinsX() + 2)] for h in histograms]
    cuts = [(str(cut.GetName()), cut.GetPass(), cut.GetAll()) for cut in report.GetValue()]
    return [contents, count.GetValue(), cuts, [float(value) for value in arrays.GetValue()["x"]]]


def told(frame: Any) -> list[Event]:
    """What happens in the frame's runs, as it happens."""
    events: list[Event] = []
    frame._headnode.backend.consumers = (events.append,)
    return events


@pytest.mark.parametrize("more", [{}, {"fold_mib": 0.001, "fold_partials": 100}], ids=["by number", "by bytes"])
def test_a_tree_gives_what_one_reducer_gives(more: dict[str, Any], fexec: Any) -> None:
    """With limits so low that the fold takes rounds, results, their order and the entries are those of one process."""
    frame = ROOT.RDataFrame(1000, executor=fexec, npartitions=13, options={**SMALL, **more})
    events = told(frame)
    assert measured(booked(ROOT.RDataFrame(1000))) == measured(booked(frame))
    rounds = [event.calls for event in events if isinstance(event, FoldRoundEnded)]
    assert len(rounds) >= 2
    assert rounds == sorted(rounds, reverse=True)
    assert rounds[0] < 13


def test_the_same_tree_gives_the_same_bits(fexec: Any) -> None:
    """Sums of floating-point numbers depend on their order: a tree's order is the same in every run."""

    def total() -> float:
        frame = ROOT.RDataFrame(5000, executor=fexec, npartitions=11, options=SMALL)
        return float(frame.Define("x", "1.0 / (1.0 + rdfentry_)").Sum("x").GetValue())

    assert total() == total()


def test_nothing_is_left_on_the_shelf(fexec: Any) -> None:
    """Partials that lay in the storage are deleted with the run."""
    before = fexec.storage.list_keys(fexec.storage.bucket, f"{RUNS_PREFIX}/")  # of drivers that other tests have killed
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=8, options={**SMALL, "fold_mib": 0.001})
    frame.Histo1D(("h", "", 2000, 0.0, 100.0), "rdfentry_").GetValue()
    assert before == fexec.storage.list_keys(fexec.storage.bucket, f"{RUNS_PREFIX}/")


@pytest.mark.usefixtures("no_early_folds")
def test_a_large_result_comes_past_lithops(fexec: Any) -> None:
    """A sum of more than 64 MiB is put beside its partials and taken from there, bin for bin; nothing stays."""
    before = fexec.storage.list_keys(fexec.storage.bucket, f"{RUNS_PREFIX}/")  # of drivers that other tests have killed
    options = {"ranges_per_call": 1, "fold_partials": 2, "fold_mib": 200.0}
    frame = ROOT.RDataFrame(3000, executor=fexec, npartitions=3, options=options)
    events = told(frame)
    booked = [frame.Histo1D((f"h{i}", "", 2_500_000, 0.0, 3000.0), "rdfentry_") for i in range(4)]
    assert [3000.0] * 4 == [histogram.GetSumOfWeights() for histogram in booked]
    rounds = [event for event in events if isinstance(event, FoldRoundEnded)]
    *_, end = [event for event in rounds[-1].events if isinstance(event, ReduceEnded)]
    assert end.facts["stored_bytes"] > 64 * 2**20
    assert before == fexec.storage.list_keys(fexec.storage.bucket, f"{RUNS_PREFIX}/")


def test_a_tree_driven_by_hand(fexec: Any) -> None:
    """A plan of a large fold says so, and what a bare map_reduce gives is folded to its end by deliver()."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=7, options=SMALL)
    count = frame.Filter("rdfentry_ > 9").Count()
    plan = rdf_lithops.plan(count)
    assert str(plan).startswith("plan: 7 ranges in 7 calls, then 3 to 1 reduce calls")
    futures = fexec.map_reduce(plan.map_task, plan.iterdata, plan.reduce_task)
    plan.deliver(fexec.get_result(futures))
    assert 90 == count.GetValue()


class Counted(Pulse):
    """A pulse that knows how often it was asked whether a beat is due."""

    ticks = 0

    def tick(self) -> None:
        """Count."""
        self.ticks += 1


def test_a_fold_beats_while_partials_are_asked_for(tmp_path: Any) -> None:
    """A process that asks for the next partial again and again, and says nothing else, is not taken for silent."""
    asked: list[bytes] = []

    def serve(listener: Any) -> None:
        with Connection(listener.accept()[0].detach()) as client:
            for _ in range(2):  # the lease, and the request
                wire.receive(client)
            for _ in range(5):
                wire.send(client, {"event": "next"})
                asked.extend(wire.receive(client)[1])
            wire.send(client, {"reply": "ok"}, b"sum")

    partials = [bytes([number]) * wire.BATCH_BYTES for number in range(5)]
    with wire.listen(str(tmp_path)) as listener, ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve, listener)
        pulse = Counted({"every_s": 60.0}, None)
        assert ({"reply": "ok"}, [b"sum"]) == warm.request(str(tmp_path), {}, {"op": "fold"}, [], pulse, partials)
        served.result(timeout=20)
    assert partials == asked
    assert pulse.ticks >= 5


def test_a_fold_that_fails_is_tried_again_and_then_told(fexec: Any) -> None:
    """A call of the tree that cannot fold is attempted as often as others, and its error says why."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=5, options={**SMALL, "attempts": 2})
    plan = rdf_lithops.plan(frame.Count())
    outputs = [plan.map_task(**item) for item in plan.iterdata]
    handed_on = plan.reduce_task([of_another_root(outputs[0]), *outputs[1:]])
    assert unpack(handed_on).inner
    with pytest.raises(rdf_lithops.RunError, match="gave no result in 2 attempts") as caught:
        plan.deliver(handed_on)
    assert "expected partials of ROOT" in str(caught.value)


def of_another_root(packed: bytes) -> bytes:
    """The same partial, of another ROOT."""
    envelope = unpack(packed)
    return pack(Envelope(envelope.range_ids, envelope.entries, "5.34", envelope.body))


@pytest.mark.usefixtures("no_early_folds")
def test_the_rounds_of_a_tree_are_told(fexec: Any) -> None:
    """The events of a tree are its rounds; those of its calls, and of its reducer, are inside them, not among those of the
    ranges."""
    frame = ROOT.RDataFrame(100, executor=fexec, npartitions=5, options=SMALL)
    events = told(frame)
    assert 100 == frame.Count().GetValue()
    ended = [event for event in events if type(event).__name__ == "CallEnded"]
    assert 5 == len(ended)
    assert [] == [event for event in events if isinstance(event, ReduceEnded)]
    last = next(event for event in reversed(events) if isinstance(event, FoldRoundEnded))
    assert any(isinstance(event, ReduceEnded) and "fold_s" in event.facts for event in last.events)


@pytest.mark.parametrize("summed", [(), (0,), (1, 2), (0, 1, 2)])
def test_a_reducer_folds_groups_first(fexec: Any, summed: tuple[int, ...]) -> None:
    """Whichever groups come as their sums, and which as their partials in a bundle: the bits are those of the tree."""
    options = {"ranges_per_call": 1, "fold_partials": 3}
    frame = ROOT.RDataFrame(70, executor=fexec, npartitions=7, options=options)
    plan = rdf_lithops.plan(frame.Define("x", "1.0 / (3 + rdfentry_)").Sum("x"))
    outputs = [plan.map_task(**item) for item in plan.iterdata]
    handed_on = unpack(plan.reduce_task(outputs))
    assert len(handed_on.inner) == 7
    first = next_round(plan, handed_on)
    sums = [first.map_task(**item) for item in first.iterdata]
    bundles = [bundle(item["call"]["partials"], {}) for item in first.iterdata]
    given = [sums[number] if number in summed else bundles[number] for number in reversed(range(len(sums)))]
    assert len(given) == 3
    expected, found = (unpack(task(some)) for task, some in ((first.reduce_task, sums), (plan.reduce_task, given)))
    assert (bytes(expected.body), expected.entries) == (bytes(found.body), found.entries)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_tree_begins_without_a_reducer(aws: Any) -> None:
    """Where a reducer that only hands on would be paid there is none, and the tree has the bits of this machine."""

    def sums(executor: Any) -> tuple[float, list[Any]]:
        frame = ROOT.RDataFrame(100, executor=executor, npartitions=5, options=SMALL)
        events = told(frame)
        return frame.Define("x", "1.0 / (1 + rdfentry_)").Sum("x").GetValue(), events

    there, events = sums(aws)
    # not the executor of all tests: its processes would keep what is in the environment now
    with lithops.FunctionExecutor(config_file=str(LOCALHOST_CONFIG), log_level=None) as own:
        here, _ = sums(own)
    assert here.hex() == there.hex()
    assert [] == [event for event in events if isinstance(event, ReduceEnded) and "fold_s" not in event.facts]
    assert any(isinstance(event, FoldRoundEnded) for event in events)
    assert 5 == sum(type(event).__name__ == "CallEnded" for event in events)


@pytest.mark.parametrize("graphs", [1, 2])
def test_a_reducer_is_handed_what_the_driver_has(aws: Any, aws_service: Any, graphs: int) -> None:
    """On Lambda a reducer reads no status of a call whose small partial the driver has, and the value is local ROOT's."""

    def framed() -> Any:
        return ROOT.RDataFrame(100, executor=aws, npartitions=5, options={"ranges_per_call": 1})

    sums = [framed().Define("x", f"{number} + rdfentry_").Sum("x") for number in range(graphs)]
    before = len(aws_service.requests)
    ROOT.RDF.RunGraphs(sums) if graphs > 1 else sums[0].GetValue()
    assert [4950.0 + 100 * number for number in range(graphs)] == [each.GetValue() for each in sums]
    asked = [(each.method, each.path) for each in aws_service.requests[before:]]
    begun = next(i for i, (method, path) in enumerate(asked) if method == "PUT" and "-R" in path and path.endswith(".init"))
    read = [path for method, path in asked[begun:] if method == "GET" and path.endswith("status.json")]
    assert [] == [path for path in read if "-M" in path]


def test_a_reducer_is_handed_some_and_fetches_others(aws: Any) -> None:
    """Where some partials are small and others are not, a reducer on Lambda has both, in its first attempt."""
    frame = ROOT.RDataFrame(20_000, executor=aws, npartitions=5, options={"ranges_per_call": 1})
    events = told(frame)
    found = frame.Define("x", "1.0 * rdfentry_").Filter("rdfentry_ >= 12000").AsNumpy(["x"])["x"]
    assert list(map(float, range(12_000, 20_000))) == list(found)
    assert 1 == sum(isinstance(event, ReduceEnded) for event in events)
    assert 1 == sum(type(event).__name__ == "AttemptBegan" for event in events)


def test_small_partials_come_together() -> None:
    """A ROOT process is sent many small partials at a time, in their order; a large one does not wait for others."""
    small, large = [bytes([number]) * 1000 for number in range(200)], b"x" * 2**21
    assert [small] == list(wire.batches(small))
    assert [[large], [large], small] == list(wire.batches([large, large, *small]))
    assert [[*small, large], small] == list(wire.batches([*small, large, *small]))
    assert [] == list(wire.batches([]))


def test_a_reducer_does_not_sleep_over_its_partials() -> None:
    """In a process that began as ours do, Lithops looks for what it reduces many times a second, on any storage."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], **CAPTURED)
    assert 0 == done.returncode, done.stderr
    far, near = map(float, done.stdout.split())
    assert far <= 0.1
    assert near <= 0.01


def test_a_reducer_of_this_machine_does_not_sleep(fexec: Any) -> None:
    """What goes with the calls of a run has a reducer look for partials every few milliseconds, not ten times a second."""

    def asked(results: list[int]) -> float:
        import sys  # on the worker

        monitor = type("Monitor", (), {"type": "storage", "storage_backend": "localhost"})
        return float(sys.modules["lithops.wait"]._poll_sleep_sec(monitor, None))

    variables = rdf_lithops.plan(ROOT.RDataFrame(10, executor=fexec, npartitions=2).Count()).extra_env
    # Lithops would look for modules in all that this one imports, and leaves open what it has looked at
    futures = fexec.map_reduce(lambda number: number, [1, 2], asked, extra_env=variables, include_modules=None)
    assert fexec.get_result(futures) <= 0.01
