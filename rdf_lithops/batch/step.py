"""A task of a job step: hand elements to the agent of this node, one after another, and stay until they end. A script.

    python -S -I step.py SOCKET SUBMISSION ELEMENTS TASKS

Task ``t`` of ``n`` has the elements ``t``, ``t + n``, ... SOCKET may have variables in it, as a shell knows them. This
imports nothing that costs a millisecond: the agent has it all.
"""

import os
import socket
import struct
import sys


def main(path: str, submission: str, elements: int, tasks: int) -> int:
    """Run the elements of this task; returns the worst exit code."""
    worst = 0
    for element in range(int(os.environ.get("SLURM_PROCID", "0")), elements, tasks):
        worst = max(worst, _hand_over(path, submission, element))
    return worst


def _hand_over(path: str, submission: str, element: int) -> int:
    with socket.socket(socket.AF_UNIX) as plug:
        plug.connect(path)
        fields = [submission, str(element), *(f"{name}={value}" for name, value in os.environ.items())]
        message = b"\0".join(os.fsencode(field) for field in fields)
        plug.sendall(struct.pack("!I", len(message)) + message)
        answer = plug.recv(4)
    return struct.unpack("!i", answer)[0] if len(answer) == 4 else 70  # the agent is gone, and the element with it


if __name__ == "__main__":
    sys.exit(main(os.path.expandvars(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
