"""How a run is to go: every option, what it may be, its default, and what it does. Pure; README.md has the same list."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import PlanError

__all__ = ["CREDENTIAL_KINDS", "Options", "plain"]

CREDENTIAL_KINDS = ("krb5", "x509", "token", "sss", "s3")
"""What a run may take with it: Kerberos, a proxy or certificate, a bearer token, XRootD's shared secret, keys of S3."""

SECTION = "section rdf_lithops of Lithops' configuration"
LONGEST_S = 2e6  # three weeks: the kernel's waits end at 2 ** 31 ms


def _option(default: Any, *kinds: type, above: float | None = None, least: float | None = None, shown: bool = True) -> Any:
    """A field of one of ``kinds`` (errors name the first), a number greater than ``above``, or ``least`` and more. None is
    fine where it is the default."""
    return field(default=default, repr=shown, metadata={"kinds": kinds, "above": above, "least": least})


def plain(value: Any) -> Any:
    """A number of NumPy's as Python's, which travels as it is; everything else as it is."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "shape", None) == () else value


@dataclass(frozen=True)
class Options:
    """How a run is to go; every field has a default and is checked, PlanError says what was expected."""

    seed: int = _option(1, int)
    """Seed of the random streams: range *i* seeds ``gRandom`` from (seed, i), whichever worker runs it."""
    attempts: int = _option(3, int, above=0)
    """How often a call that was killed or lost is tried; a failure of the user's own graph or data is not tried again."""
    ranges_per_call: int | None = _option(None, int, above=0)
    """Ranges that one Lithops call runs and folds. None: as many as make one call per worker."""
    survey: bool | None = _option(None, bool)
    """Read the files' layout, so that ranges end where clusters do and have about the same work. None: unless the files are
    small and the calls free."""
    target_s: float | None = _option(None, float, int, above=0)
    """The least that a call should work, which sets the number of calls where ``npartitions`` does not. None: 10 s where
    calls are paid; where they are free every worker gets one."""
    warm: bool = _option(True, bool)
    """Keep ROOT running between calls."""
    idle_limit_s: float = _option(300.0, float, int, above=0)
    """How long a warm ROOT process that nobody holds waits for work."""
    keep_warm: bool = _option(False, bool)
    """On localhost, leave the ROOT process and what it has compiled to programs that come within ``idle_limit_s``. Elsewhere
    the backend decides how long a worker lives."""
    declared: bool = _option(True, bool)
    """What the program gives to the interpreter (Declare, #include, .L, Load, Numba) travels to workers; if not, only what
    it gives to ROOT's Distribute functions and ``initialize`` does."""
    instantiations: str = _option("build", str)
    """"build": take RDataFrame's templates from libraries that were compiled once, and have those made that are missing, on
    this machine, at idle priority, after the program; "use" makes none; "off" has each program compile all it needs."""
    memory_limit_mib: float = _option(3000.0, float, int, above=0)
    """A ROOT process that has grown larger is replaced before its next call."""
    cache_limit_mib: float = _option(1024.0, float, int, above=0)
    """How much of what was read from remote files a worker keeps on its disk, for later ranges and queries."""
    progress: bool | None = _option(None, bool)
    """Show how far the run is: a bar, or lines where there is no terminal. None: the same, but lines go to the log."""
    live_picture: str | None = _option(None, str)
    """A file that ROOT's LiveVisualize rewrites with each partial that arrives; its ending says the format."""
    deadline_s: float | None = _option(None, float, int, above=0)
    """A run that takes longer, rounds of the fold and merging of files included, is an error. None: the executor's own
    limit."""
    beat_s: float | None = _option(None, float, int, above=0)
    """How often a call says that it lives and how many entries it has done, by an object in Lithops' storage. None: 0.5 s on
    localhost, 10 s elsewhere."""
    silence_s: float | None = _option(None, float, int, above=0)
    """A call that has not said so for this long is run again. None: 20 times ``beat_s``, at least 10 s."""
    start_s: float = _option(600.0, float, int, above=0)
    """Calls that nobody began, in a time in which no call began or ended, are run again."""
    stall_s: float = _option(600.0, float, int, above=0)
    """A call whose ROOT process did nothing for this long, no entry and no CPU time, is run again."""
    backoff_s: float = _option(0.25, float, int, least=0)
    """Pause before the second attempt, doubled before each later one."""
    backups: bool | None = _option(None, bool)
    """When most calls are done and the rest takes more than twice as long, run a second copy of the rest. None: not on
    localhost."""
    on_bad_file: str = _option("raise", str)
    """"raise", or "skip" files that are missing, damaged or without the tree, which are reported and logged; for that every
    file is opened on the driver."""
    keep_failed: str | None = _option(None, str)
    """A folder for ranges that failed, so that ``rdf-lithops replay`` can run them."""
    credentials: tuple[str, ...] | None = _option(None, tuple, list)
    """The kinds that workers are given: krb5, x509, token, sss, s3; none of them where the workers have a role of their own.
    None: those that the run's URLs may need."""
    overwrite: bool = _option(False, bool)
    """A Snapshot may replace a file of its name that no Snapshot of this package has written."""
    file_mib: float | None = _option(None, float, int, above=0)
    """Merge a Snapshot's parts into files of about this size, by a second ``map_reduce``; a tiny number leaves one a range.
    None: one file, by the driver, in a folder of this machine where all parts together have at most 64 MiB, else one per
    range."""
    arrays_mib: float = _option(8.0, float, int, least=0)
    """Columns of a call's AsNumpy that are larger go to the driver through Lithops' storage, past the reducer."""
    fold_partials: int | None = _option(None, int, above=1)
    """How many partials one call folds; more are folded by a tree of calls. None: as many as it folds sooner than a tree."""
    fold_mib: float | None = _option(None, float, int, above=0)
    """How much of partials one call folds; more are folded by a tree of calls. None: a fifth of the memory of a call."""
    budget_usd: float | None = _option(None, float, int, above=0)
    """A run that could cost more, with all attempts, backups and merging of files, is an error before it begins, and calls
    are ended before they cost more."""
    usd_per_gb_s: float | None = _option(None, float, int, least=0)
    """Your price, instead of the table's."""
    resume: bool | None = _option(None, bool)
    """The same program started again after its driver was killed takes up what its calls had done. None: where all is seen
    that the answer depends on; True: also where C++, libraries or Python functions of yours could read something that may
    have changed: you say that nothing has (decision 383)."""
    faults: dict[str, Any] | None = _option(None, dict, shown=False)  # noqa: RUF009  # makes a field
    """A script for tests, see ``worker.faults``."""

    def __post_init__(self) -> None:
        for item in fields(self):
            given = getattr(self, item.name)
            value, kinds, above, least = plain(given), *(item.metadata[name] for name in ("kinds", "above", "least"))
            if value is None and item.default is None:
                continue
            fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
            fits = fits and (not isinstance(value, float) or math.isfinite(value))
            if not fits or (above is not None and not value > above) or (least is not None and value < least):
                bound = f" greater than {above}" if above is not None else "" if least is None else f" of at least {least}"
                raise PlanError(f"options.{item.name} must be {kinds[0].__name__}{bound}, got {given!r}")
            if item.name.endswith("_s") and value > LONGEST_S:
                raise PlanError(f"options.{item.name} must be at most {LONGEST_S:g} (seconds), got {given!r}")
            object.__setattr__(self, item.name, value)
        if self.credentials is not None and any(kind not in CREDENTIAL_KINDS for kind in self.credentials):
            raise PlanError(
                f"options.credentials must be a tuple of some of {', '.join(CREDENTIAL_KINDS)}, got {self.credentials!r}"
            )
        if self.on_bad_file not in ("raise", "skip"):
            raise PlanError(f"options.on_bad_file must be 'raise' or 'skip', got {self.on_bad_file!r}")

        if self.instantiations not in ("build", "use", "off"):
            raise PlanError(f"options.instantiations must be 'build', 'use' or 'off', got {self.instantiations!r}")

    @classmethod
    def read(cls, given: Options | dict[str, Any] | None, configured: dict[str, Any] | None = None) -> Options:
        """Accept an Options, a dictionary of its fields, or None; anything else is a TypeError that says so.

        ``configured`` are defaults, from the section ``rdf_lithops`` of Lithops' configuration; they do not fill an Options.
        """
        if isinstance(given, cls):
            return given
        configured = cls._checked(configured, f" in {SECTION}")
        try:
            cls(**configured)
        except PlanError as error:
            raise PlanError(f"{SECTION}: {error}") from None
        return cls(**{**configured, **cls._checked(given)})

    @classmethod
    def _checked(cls, given: Any, where: str = "") -> dict[str, Any]:
        if given is None:
            return {}
        if not isinstance(given, dict):
            kind = type(given).__name__
            raise TypeError(f"options{where} must be rdf_lithops.Options or a dictionary of its fields, got {kind}")
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(given) - set(known), key=str)
        if unknown:
            close = [near for name in unknown for near in difflib.get_close_matches(str(name), known, 1)]
            meant = f" (did you mean {', '.join(close)}?)" if close else ""
            raise TypeError(f"unknown options {unknown}{where}{meant}; known are {known}")
        return given
