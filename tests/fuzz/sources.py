"""Strategies for sources: the files of a dataset, and the Python that opens it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from .files import Column, File, Tree
from .schemas import SCALARS, columns

__all__ = ["Source", "sources"]


@dataclass(frozen=True)
class Source:
    """``files`` to be written, ``lines`` of Python of which the last sets ``df``, the columns to be used, and what it is."""

    kind: str
    files: tuple[File, ...]
    lines: tuple[str, ...]
    columns: tuple[Column, ...]
    paths: tuple[str, ...] = ()


ENTRIES = st.one_of(st.sampled_from([0, 1, 2, 10]), st.integers(0, 120))


@st.composite
def _trees(draw: st.DrawFn, name: str, has: tuple[Column, ...], ntuple: bool, sizes: tuple[int, ...]) -> list[Tree]:
    """A tree for each file of a dataset. Now and then one lacks a column, or has it with another type."""
    cluster, first, made = draw(st.sampled_from([1, 7, 10, 1000])), 0, []
    for size in sizes:
        made.append(Tree(name, has, size, first, cluster, ntuple))
        first += size
    odd = draw(st.sampled_from([None] * 6 + ["missing", "changed"]))
    if odd and len(made) > 1 and len(has) > 1:
        index, column = draw(st.integers(0, len(made) - 1)), draw(st.sampled_from(has[1:]))
        others = [other for other in has if other != column]
        if odd == "changed":
            kind = draw(st.sampled_from([kind for kind in SCALARS[:6] if kind != column.kind]))
            others = [replace(other, kind=kind) if other == column else other for other in has]
        made[index] = replace(made[index], columns=tuple(others))
    return made


@st.composite
def _files(draw: st.DrawFn, tag: str) -> Source:
    """A dataset in one to four files."""
    ntuple = draw(st.sampled_from([False, False, False, True]))
    name = draw(st.sampled_from(["t", "t", "folder/t"])) if not ntuple else "t"
    has = draw(columns(ntuple))
    sizes = tuple(draw(st.lists(ENTRIES, min_size=1, max_size=4)))
    trees = draw(_trees(name, has, ntuple, sizes))
    second = draw(st.sampled_from([False, False, True]))  # another tree of each file, with other columns of the same names
    other = Tree("other", draw(columns(False)), draw(ENTRIES)) if second else None
    paths = tuple(f"{tag}{letter}.root" for letter in "abcd"[: len(sizes)])
    files = tuple(File(path, (tree, *([other] if other else []))) for path, tree in zip(paths, trees, strict=True))
    kind = "rntuple" if ntuple else "files"
    ways = {
        "list": (f"df = RDataFrame({name!r}, {list(paths)})",),
        "glob": (f'df = RDataFrame({name!r}, "{tag}*.root")',),
        "chain": (*_chain("chain", name, paths), "df = RDataFrame(chain)"),
        "sample": (
            "spec = ROOT.RDF.Experimental.RDatasetSpec()",
            f'spec.AddSample(ROOT.RDF.Experimental.RSample("s", {name!r}, {list(paths)}))',
            *_selected(draw, sum(sizes)),
            "df = RDataFrame(spec)",
        ),
    }
    way = draw(st.sampled_from(["list", "list", "glob"] if ntuple else [*ways, "list"]))
    if other and draw(st.booleans()) and not ntuple:
        return Source("other tree", files, (f'df = RDataFrame("other", {list(paths)})',), other.columns, paths)
    return Source(f"{kind}, {way}", files, ways[way], has, paths)


def _selected(draw: st.DrawFn, total: int) -> list[str]:
    """A part of the dataset now and then: WithGlobalRange."""
    if not draw(st.sampled_from([False, False, True])):
        return []
    begin = draw(st.integers(0, total))
    return [f"spec.WithGlobalRange(({begin}, {draw(st.integers(begin, total + 10))}))"]


def _chain(variable: str, name: str, paths: tuple[str, ...]) -> list[str]:
    return [f"{variable} = ROOT.TChain({name!r})", *(f"{variable}.Add({path!r})" for path in paths)]


@st.composite
def _friends(draw: st.DrawFn, tag: str) -> Source:
    """A chain and its friend, whose files end elsewhere."""
    total = draw(st.integers(0, 150))
    datasets = []
    for name, prefix, more in (("t", "", 0), ("f", "f", draw(st.sampled_from([0, 0, 0, 0, 5, -5])))):
        end = max(0, total + more)
        cuts = sorted(draw(st.lists(st.integers(0, end), max_size=2)))
        sizes = tuple(b - a for a, b in zip([0, *cuts], [*cuts, end], strict=True))
        has = draw(columns(False, prefix))
        paths = tuple(f"{tag}{name}{letter}.root" for letter in "abc"[: len(sizes)])
        datasets.append((name, has, paths, draw(_trees(name, has, False, sizes))))
    (_, main, paths, _), (_, friend, friends, _) = datasets
    files = tuple(File(path, (tree,)) for _, _, where, trees in datasets for path, tree in zip(where, trees, strict=True))
    lines = (
        *_chain("chain", "t", paths),
        *_chain("friend", "f", friends),
        'chain.AddFriend(friend, "fr")',
        "df = RDataFrame(chain)",
    )
    return Source("friends", files, lines, (*main, *(Column(f"fr.{c.name}", c.kind) for c in friend)), paths)


@st.composite
def _empty(draw: st.DrawFn) -> Source:
    """RDataFrame(N), with a few columns defined."""
    entries = draw(st.sampled_from([0, 1, 2, 5, 30, 100]))
    lines = (
        f"df = RDataFrame({entries})",
        'df = df.Define("x", "double(rdfentry_ * 7 % 31) / 4").Define("y", "int(rdfentry_ % 11)")',
        'df = df.Define("z", "ROOT::RVecF r; '
        'for (int i = 0; i < int(rdfentry_ % 4); ++i) r.push_back(i * 0.5f); return r;")',
    )
    return Source("entries", (), lines, (Column("x", "double"), Column("y", "int"), Column("z", "ROOT::RVec<float>")))


def sources(tag: str) -> st.SearchStrategy[Source]:
    """Any source; ``tag`` begins the names of its files."""
    return st.one_of(_files(tag), _files(tag), _files(tag), _empty(), _friends(tag))
