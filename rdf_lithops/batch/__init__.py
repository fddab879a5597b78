"""Compute back ends for Lithops on the clusters that physicists have: Slurm and HTCondor. Knows nothing of ROOT.

Importing it makes ``lithops: {backend: slurm}`` (or ``htcondor``) and ``lithops: {storage: shared_folder}`` known to
Lithops, whichever of the two is imported first; nothing of Lithops is edited.

    invoke ──> a folder with the payload and a script ──> sbatch --array, one element per call ──> element.py on a node
    a thread asks the scheduler now and then, once for all jobs; what ended without a word gets a status that says why

On the submit host:

    registry        has Lithops find our back ends by their names
    backend         Lithops' interface of a compute back end
    settings        the back end's section in Lithops' configuration
    submission      the folder of one job: what its elements read and print, and which calls are whose
    slurm           Slurm's commands
    slurm_words     its states and directives
    htcondor        HTCondor's
    commands        runs them, each with a time limit
    states          what a scheduler says of an element, in words that both share
    watcher         asks the scheduler, and tells Lithops what it cannot know
    guard           outlives a driver that is killed, and cancels what it left in the queue
    here            reducers that need not wait in the queue once more
    allocation      an allocation that stays for a session
    readiness       whether a cluster is ready for our jobs
    shared_folder   a storage of Lithops in a folder that all nodes see

On a node:

    nodes     what it is told to run
    element   the calls of one element of an array
    step      a task of a job step in an allocation
    agent     what stays on each node of an allocation
"""

from __future__ import annotations

from .registry import COMPUTE, register

__all__ = ["COMPUTE", "register"]

register()
