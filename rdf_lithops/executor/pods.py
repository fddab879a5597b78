"""What keeps pods of Lithops' Kubernetes back end from starting: an image that no node gets, in the cluster's own words."""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from ..errors import RunError

__all__ = ["Pods"]

logger = logging.getLogger(__name__)

LOOK_S, LOOKS = 5.0, 4  # at least so many while patience lasts
PATIENCE_S = 60.0  # a registry may fail for a moment: nodes ask it again after 10, 20 and 40 s
REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})


class Pods:
    """Pods that wait for the image of an executor, seldom asked after; back ends other than Kubernetes have none."""

    def __init__(self, executor: Any, patience_s: float) -> None:
        self._backend: Any = getattr(executor.compute_handler, "backend", None)
        self._image = str(getattr(executor.invoker, "runtime_name", ""))
        self._patience_s = min(PATIENCE_S, patience_s)
        self._next_look_s = -math.inf if hasattr(self._backend, "core_api") else math.inf
        self._without_s = math.inf  # since when

    def check(self) -> None:  # decision 340
        """Raises RunError once every look, for as long as patience lasts, has found a pod that cannot have the image."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + min(LOOK_S, self._patience_s / LOOKS)
        why = self._why()
        self._without_s = math.inf if why is None else min(self._without_s, now_s)
        if why is not None and now_s - self._without_s >= self._patience_s:
            what, see = f"the cluster's nodes cannot get the image {self._image}", "see: kubectl describe pods"
            raise RunError(what, why=why, next_command=f"is it pushed (rdf-lithops runtime build), may nodes pull it? {see}")

    def _why(self) -> str | None:
        """What the cluster says of a pod that cannot have its image; None if it says nothing, or does not answer."""
        api, selected = self._backend.core_api, "status.phase=Pending"
        try:
            pods = api.list_namespaced_pod(self._backend.namespace, field_selector=selected).items
        except Exception as problem:  # of the client's own kinds: whoever waits goes on waiting
            logger.info("the cluster does not say which pods wait: %r", problem)
            return None
        ours = [pod.status for pod in pods if self._image in (container.image for container in pod.spec.containers)]
        waiting = [container.state.waiting for status in ours for container in status.container_statuses or ()]
        said = (f"{one.reason}: {one.message or ''}" for one in waiting if one is not None and one.reason in REASONS)
        return next(said, None)
