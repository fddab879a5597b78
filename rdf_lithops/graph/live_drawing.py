"""Live drawing: what DistRDF's LiveVisualize has asked for, drawn anew with each partial that arrives.

A notebook shows the canvas as a picture that is replaced; elsewhere it is ROOT's own window, if this ROOT has one, and
``options.live_picture`` names a file that is rewritten, for programs that run where nobody looks.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ROOT

from ..fold import arrays, partials
from ..reporting.progress import in_notebook
from ..run.events import CallEnded, Event, RunBegan
from ..travels.envelope import unpack
from .computation import Computation

__all__ = ["Drawables", "Drawing", "Following", "canvas", "drawables_of"]

logger = logging.getLogger(__name__)
arrays.register()  # partials of arrays are folded here, too

# node id: (callbacks of the user, place of the object among the results, name of the operation)
Drawables = Mapping[int, tuple[list[Callable[[Any], None] | None], int, str]]


class Drawing:
    """The pads of one run, and the screens on which they are seen."""

    def __init__(self, drawn: Any, drawables: Drawables, picture: str | None) -> None:
        self.canvas, self.drawables, self.picture = drawn, drawables, picture
        self._shown: Any = None  # the notebook's handle of the picture that it shows

    def draw(self, mergeables: list[Any] | None) -> None:
        """Draw the objects as they are in ``mergeables``: partly merged, or merged."""
        if mergeables is None:  # ranges without entries
            return
        for pad, (callbacks, index, operation) in enumerate(self.drawables.values(), start=1):
            self._draw_one(self.canvas.cd(pad), mergeables[index].GetValue(), callbacks, operation)
        self.canvas.Update()
        if self.picture is not None:
            self._save_or_say(self.picture)
        if in_notebook():
            self._show()

    def _draw_one(self, pad: Any, drawable: Any, callbacks: list[Callable[[Any], None] | None], operation: str) -> None:
        for callback in callbacks:
            if callback is not None:
                callback(drawable)
        drawable.Draw("AP" if operation.startswith("Graph") else "")
        pad.Update()

    def _save_or_say(self, path: str) -> None:
        """The answer does not depend on the picture of it."""
        try:
            self._save(path)
        except OSError as problem:
            self.picture = None
            logger.warning("options.live_picture cannot be written, and nothing more is drawn there: %s", problem)

    def _save(self, path: str) -> None:
        """Write under another name first: who looks at the file never sees half of it."""
        stem, ending = os.path.splitext(path)
        unfinished = f"{stem}.unfinished-{os.getpid()}{ending}"
        before, ROOT.gErrorIgnoreLevel = ROOT.gErrorIgnoreLevel, ROOT.kWarning  # not a line for each file saved
        try:
            self.canvas.SaveAs(unfinished)
        finally:
            ROOT.gErrorIgnoreLevel = before
        os.replace(unfinished, path)

    def _show(self) -> None:
        from IPython.display import Image, display

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "live.png")
            self._save(path)
            picture = Image(filename=path)
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)


class Following:
    """Listens to a run of ``computation``, and has ``drawing`` draw what has arrived, folded in the order of its arrival."""

    def __init__(self, computation: Computation, drawing: Drawing) -> None:
        self._fold, self._draw = computation.reducer, drawing.draw
        self._ranges, self._arrived = 0, set[int]()
        self._sum: Any = None

    def __call__(self, event: Event) -> None:
        """Draw once more if ``event`` brings a partial; what is drawn last is the result itself, folded in range order."""
        if isinstance(event, RunBegan):
            self._ranges = len({fields["id"] for item in event.plan.iterdata for fields in item["call"]["ranges"]})
        if not isinstance(event, CallEnded):
            return
        self._arrived.update(event.range_ids)
        if len(self._arrived) < self._ranges:
            partial = partials.loaded(unpack(event.partial))
            self._sum = partial if self._sum is None else self._fold(self._sum, partial)
            self._draw(self._sum.mergeables)


def drawables_of(computation: Computation) -> Drawables:
    """What LiveVisualize has asked to be drawn of a computation, and is not drawn yet."""
    wanted: Mapping[int, Any] = computation.head.drawables_dict
    return {
        node.node_id: (wanted[node.node_id], place, node.operation.name)
        for place, node in enumerate(computation.actions)
        if node.node_id in wanted
    }


@contextmanager
def canvas(drawables: Drawables, picture: str | None) -> Iterator[Drawing]:
    """A divided canvas that is current while it lasts; the user's own pad is current again afterwards.

    A notebook's hook would show the canvas a second time when the cell ends: it is closed by then.
    """
    context = ROOT.TVirtualPad.TContext()
    rows = math.ceil(math.sqrt(len(drawables)))
    columns = math.ceil(len(drawables) / rows)
    divided = ROOT.TCanvas("rdf_lithops_live", "live", 800 * rows, 400 * columns)
    divided.Divide(rows, columns)
    try:
        yield Drawing(divided, drawables, picture)
    finally:
        divided.Close()
        context.__destruct__()
