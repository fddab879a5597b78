"""Compute back ends for Lithops on the clusters that physicists have: Slurm and HTCondor. Knows nothing of ROOT.

Importing it makes ``lithops: {backend: slurm}`` (or ``htcondor``) and ``lithops: {storage: shared_folder}`` known to
Lithops, whichever of the two is imported first; nothing of Lithops is edited.

    invoke ──> a folder with the payload and a script ──> sbatch --array, one element per call ──> element.py on a node
    a thread asks the scheduler now and then, once for all jobs; what ended without a word gets a status that says why
"""

from __future__ import annotations

from .registry import COMPUTE, register

__all__ = ["COMPUTE", "register"]

register()
