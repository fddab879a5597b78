"""A real Jupyter kernel, and what its cells put out: what a notebook's user has, without the browser."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbformat.v4 import output_from_msg

LIMIT_S = 120.0
SHOWN = ("stream", "display_data", "update_display_data", "execute_result", "error")


@dataclass
class Cell:
    """What one cell put out, message by message."""

    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def contents(self, kind: str) -> list[dict[str, Any]]:
        """The contents of all messages of one kind."""
        return [content for found, content in self.messages if found == kind]

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == "stdout")

    @property
    def error(self) -> str | None:
        """The name of the exception that ended it."""
        return next((str(content["ename"]) for content in self.contents("error")), None)


class Kernel:
    """Runs cells, and interrupts them as the button of a notebook does."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client
        self.cells: list[tuple[str, list[Any]]] = []  # sources and outputs, as a notebook file keeps them

    def run(self, source: str, interrupt_after_s: float | None = None) -> Cell:
        """The outputs of a cell with this source. Fails after LIMIT_S."""
        cell, outputs, message_id = Cell(), [], self.client.execute(source)
        began = time.monotonic()
        while time.monotonic() - began < LIMIT_S:
            if interrupt_after_s is not None and time.monotonic() - began > interrupt_after_s:
                self.manager.interrupt_kernel()
                interrupt_after_s = None
            if not self.client.iopub_channel.msg_ready():
                time.sleep(0.01)
                continue
            message = self.client.get_iopub_msg(timeout=LIMIT_S)
            if message["parent_header"].get("msg_id") != message_id:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                self.cells.append((source, outputs))
                return cell
            if message["msg_type"] in SHOWN:
                cell.messages.append((message["msg_type"], message["content"]))
                if message["msg_type"] != "update_display_data":
                    outputs.append(output_from_msg(message))
        raise AssertionError(f"the cell hangs:\n{source}")

    def save(self, path: str) -> None:
        """The notebook of what ran so far, to look at."""
        cells = []
        for source, outputs in self.cells:
            cells.append(nbformat.v4.new_code_cell(source, outputs=outputs))
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@contextmanager
def started() -> Iterator[Kernel]:
    """A kernel of this Python, which talks through files and listens on no port."""
    manager = KernelManager(kernel_name="python3", transport="ipc")
    manager.start_kernel(env={**os.environ, "PYTHONSAFEPATH": "1"})
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=LIMIT_S)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=False)
