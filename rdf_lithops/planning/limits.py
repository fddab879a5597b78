"""What a back end grants: memory and time of a call, calls at once; and whether a plan fits. Known before any call. Pure.

limits_of("aws_lambda")              the grants of a backend, None where it sets no limit that we know of
misfits(limits, Demand(...))         what does not fit, each with the change that would
require_fit("aws_lambda", Demand(…)) the same as a PlanError
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..errors import PlanError

__all__ = [
    "ROOT_MEMORY_MIB",
    "SNAPSTART_ALIAS",
    "SNAPSTART_TMP_MIB",
    "Demand",
    "Limits",
    "Misfit",
    "limits_of",
    "misfits",
    "require_fit",
    "wants_snapstart",
]

MIB = 2**20
# Resident memory of a call that loops over a small tree: Lithops' process, the warm ROOT process, one slot, one task.
ROOT_MEMORY_MIB = 768
LAMBDA_MEMORY_PER_VCPU_MIB = 1769  # Lambda grants processor time in proportion to memory; this much is one whole vCPU

SNAPSTART_TMP_MIB = 512  # a snapshot holds no more of a disk
SNAPSTART_ALIAS = "rdf-lithops"  # of the version that has the snapshot


def wants_snapstart(backend: str, section: Mapping[str, Any]) -> bool:  # decision 310
    """Whether a backend's part of the Lithops configuration asks for SnapStart."""
    return backend == "aws_lambda" and bool(section.get("snapstart"))


@dataclass(frozen=True)
class Limits:
    """What one call of a backend may have at most (``*_min``: at least). None: the backend itself sets no limit.

    ``setting_*`` are Lithops' names of the settings, in ``section`` of its configuration. ``concurrency`` is the quota of a
    new account or installation; what your own may have is asked of the backend (``rdf-lithops check``).
    """

    backend: str
    memory_min_mib: int | None = None
    memory_max_mib: int | None = None
    timeout_max_s: int | None = None
    tmp_min_mib: int | None = None
    tmp_max_mib: int | None = None
    payload_max_bytes: int | None = None
    image_max_bytes: int | None = None
    concurrency: int | None = None
    memory_per_vcpu_mib: int | None = None
    setting_memory: str = "runtime_memory"
    setting_timeout: str = "runtime_timeout"
    setting_tmp: str = "ephemeral_storage"
    setting_concurrency: str = "max_workers"

    def vcpus(self, memory_mib: float) -> float | None:
        """Return the share of a processor that goes with ``memory_mib``; None where it is set apart from memory."""
        return None if self.memory_per_vcpu_mib is None else memory_mib / self.memory_per_vcpu_mib

    def memory_for(self, vcpus: float) -> int | None:
        """Return the memory to ask for (MiB) so that a call gets ``vcpus``."""
        return None if self.memory_per_vcpu_mib is None else round(vcpus * self.memory_per_vcpu_mib)


@dataclass(frozen=True)
class Demand:
    """What a plan asks of each call, as far as it is known: None is not compared.

    ``memory_mib`` the call's whole memory; ``duration_s`` its expected time; ``tmp_mib`` what it puts on its disk
    (payload, staged files, Snapshot parts); ``payload_bytes`` one invocation's message; ``image_bytes`` the unpacked
    image; ``calls`` how many run at a time.
    """

    memory_mib: float | None = None
    duration_s: float | None = None
    tmp_mib: float | None = None
    payload_bytes: int | None = None
    image_bytes: int | None = None
    calls: int | None = None


@dataclass(frozen=True)
class Misfit:
    """One thing that a call would need and not get: ``what`` names it, ``asked`` and ``limit`` are in ``unit``, ``change``
    would fit."""

    what: str
    asked: float
    limit: float
    unit: str
    change: str

    def __str__(self) -> str:
        bound = "at least" if self.asked < self.limit else "at most"
        return f"{self.what}: {_number(self.asked)} {self.unit} asked, {bound} {_number(self.limit)} granted; {self.change}"


# Sources: each provider's page of quotas, as of November 2026; concurrency is the default of a new account.
_LIMITS = {
    limits.backend: limits
    for limits in (
        Limits("localhost"),
        Limits(
            "aws_lambda",
            memory_min_mib=128,
            memory_max_mib=10240,
            timeout_max_s=900,
            tmp_min_mib=512,
            tmp_max_mib=10240,
            payload_max_bytes=1_000_000,  # of an event; the answer to a synchronous call may be 6 MB
            image_max_bytes=10 * 1000**3,
            concurrency=1000,
            memory_per_vcpu_mib=LAMBDA_MEMORY_PER_VCPU_MIB,
        ),
        Limits("aws_batch", timeout_max_s=14 * 86400, setting_tmp=""),
        Limits("k8s", setting_tmp=""),
        Limits("slurm", setting_tmp=""),  # what a partition grants is asked of it: rdf-lithops check
        Limits("htcondor", setting_tmp=""),
        Limits("code_engine", memory_max_mib=48 * 1024, timeout_max_s=86400, setting_tmp=""),
    )
}


def limits_of(backend: str, section: Mapping[str, Any] | None = None) -> Limits:  # decision 46
    """Return the limits of a Lithops backend; one that we do not know has none.

    With ``section``, the backend's part of the Lithops configuration, what is configured there is the limit instead: more
    memory, time or disk than that no call of this executor gets.
    """
    limits = _LIMITS.get(backend, Limits(backend))
    if section is None or backend == "localhost":
        return limits
    configured = {
        "memory_max_mib": section.get(limits.setting_memory),
        "timeout_max_s": section.get(limits.setting_timeout),
        "tmp_max_mib": section.get(limits.setting_tmp),
        "concurrency": section.get(limits.setting_concurrency),
    }
    if wants_snapstart(backend, section):  # whatever is configured, so that no setting helps
        configured["tmp_max_mib"], limits = SNAPSTART_TMP_MIB, replace(limits, setting_tmp="")
    return _narrowed(limits, {name: int(value) for name, value in configured.items() if value})


def _narrowed(limits: Limits, configured: dict[str, int]) -> Limits:
    fields = dict(vars(limits))
    for name, value in configured.items():
        known = fields[name]
        fields[name] = value if known is None else min(known, value)
    return Limits(**fields)


def misfits(limits: Limits, demand: Demand) -> list[Misfit]:
    """Return everything in ``demand`` that a call does not get, in the order of the fields; empty if it fits.

    More calls than run at a time are no misfit: they queue.
    """
    return [
        *_memory(limits, demand.memory_mib),
        *_above(limits, "time", demand.duration_s, limits.timeout_max_s, "s"),
        *_above(limits, "/tmp", demand.tmp_mib, limits.tmp_max_mib, "MiB"),
        *_above(limits, "payload", demand.payload_bytes, limits.payload_max_bytes, "bytes"),
        *_above(limits, "image", demand.image_bytes, limits.image_max_bytes, "bytes"),
    ]


def require_fit(backend: str, demand: Demand, section: Mapping[str, Any] | None = None) -> None:
    """Raise PlanError, naming every misfit and the change that would fit, unless each call of ``demand`` fits."""
    found = misfits(limits_of(backend, section), demand)
    if found:
        listed = "".join(f"\n  {misfit}" for misfit in found)
        raise PlanError(f"expected a plan whose calls fit into {backend}; nothing was invoked{listed}")


def _memory(limits: Limits, asked: float | None) -> list[Misfit]:
    if asked is None:
        return []
    if limits.memory_min_mib is not None and asked < limits.memory_min_mib:
        change = f"set {limits.backend}.{limits.setting_memory} to {max(limits.memory_min_mib, ROOT_MEMORY_MIB)} or more"
        return [Misfit("memory", asked, limits.memory_min_mib, "MiB", change)]
    return _above(limits, "memory", asked, limits.memory_max_mib, "MiB")


def _above(limits: Limits, what: str, asked: float | None, limit: float | None, unit: str) -> list[Misfit]:
    if asked is None or limit is None or asked <= limit:
        return []
    return [Misfit(what, asked, limit, unit, _change(limits, what, asked))]


def _change(limits: Limits, what: str, asked: float) -> str:
    """Say what to do about a demand above the limit: raise the setting as far as the backend goes, or make the calls
    smaller."""
    own = _LIMITS.get(limits.backend, limits)
    settings = {
        "memory": (limits.setting_memory, own.memory_max_mib, "use more ranges (npartitions): each call then holds less"),
        "time": (limits.setting_timeout, own.timeout_max_s, "use more and smaller calls (npartitions, ranges_per_call)"),
        "/tmp": (limits.setting_tmp, own.tmp_max_mib, "use more ranges (npartitions), or read without staging"),
        "payload": ("", 0, "put large objects into files (DistributeFiles): they travel through the storage"),
        "image": ("", 0, "build the slim image: rdf-lithops runtime build"),
    }
    setting, most, otherwise = settings[what]
    if setting and (most is None or asked <= most):
        return f"set {limits.backend}.{setting} to {_ceiling(asked)} or more, or {otherwise}"
    return otherwise


def _ceiling(value: float) -> int:
    return -int(-value // 1)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"
