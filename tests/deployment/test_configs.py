"""Each configuration that we give people loads and plans; each says first who bills what; none holds a secret."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import lithops
import pytest
import yaml
from conftest import REPOSITORY
from lithops.config import default_config

from rdf_lithops import PlanError
from rdf_lithops.planning.limits import ROOT_MEMORY_MIB, Demand, limits_of, misfits, require_fit

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))
# what is in capitals in the files, and what it may be
FILLED_IN = {
    "ACCOUNT": "123456789012",
    "PARTITION": "main",
    "SHARED": "shared",
    "USER": "me",
    "BUCKET": "bucket",
    "REGION": "eu-de",
    "REGISTRY": "registry.example.org/physics",
    "RESOURCE_GROUP": "group",
    "NAMESPACE": "space",
    "SECRET": "secret",
    "KEY": "key",
    "ID": "0123",
}


def filled_in(path: Path) -> dict[str, Any]:
    """A configuration with its placeholders filled in."""
    text = path.read_text()
    for placeholder, value in FILLED_IN.items():
        text = re.sub(rf"\b{placeholder}\b", value, text)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def loaded(path: Path) -> dict[str, Any]:
    """What Lithops makes of it. Code Engine's own half is loaded from its file: its package wants IBM's SDK."""
    written = filled_in(path)
    if written["lithops"]["backend"] != "code_engine":
        found: dict[str, Any] = default_config(config_data=written)
        return found
    for part in ("serverless/backends/code_engine", "storage/backends/ibm_cos"):
        source = Path(lithops.__file__).parent / part / "config.py"
        spec = importlib.util.spec_from_file_location(source.parent.name, source)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.load_config(written)
    return written


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_loads(path: Path) -> None:
    """Lithops accepts it, and takes over its settings."""
    written = filled_in(path)
    settings = loaded(path)
    backend = written["lithops"]["backend"]
    assert backend == settings["lithops"]["backend"]
    assert settings["lithops"]["data_limit"] is False
    for key in ("runtime_memory", "runtime_timeout", "max_workers"):
        if key in written[backend]:
            assert written[backend][key] == settings[backend][key]


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_plans(path: Path) -> None:
    """A call of ROOT's size fits into it, a call that is too large for it is refused with the change that fits."""
    settings = loaded(path)
    backend = settings["lithops"]["backend"]
    section = settings[backend] or {}
    require_fit(backend, Demand(memory_mib=ROOT_MEMORY_MIB, duration_s=60, tmp_mib=300), section)
    limits = limits_of(backend, section)
    assert [] == misfits(limits_of(backend), Demand(section.get("runtime_memory"), section.get("runtime_timeout")))
    if limits.timeout_max_s is not None:
        with pytest.raises(PlanError, match=r"npartitions"):
            require_fit(backend, Demand(duration_s=limits.timeout_max_s + 1), section)


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_opens_with_the_bill(path: Path) -> None:
    """Its first lines, a comment, say who bills what."""
    opening = path.read_text().split("lithops:")[0]
    assert all(line.startswith("#") for line in opening.strip().splitlines())
    assert re.search(r"\bbills?\b|\bpays\b", opening)


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_holds_no_secret(path: Path) -> None:
    """Where a key has to be, there is a placeholder."""
    for line in path.read_text().splitlines():
        match = re.match(r"\s+(\w*(?:key|secret|password|token)\w*):\s*(\S+)", line)
        assert match is None or match[2].isupper(), line
