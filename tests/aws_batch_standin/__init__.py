"""AWS Batch on this machine: the control plane is moto's, and what is submitted there runs as processes.

    boto3, Lithops ──HTTP──> Service ──┬── control plane (Batch, IAM, STS, EC2) ──> moto's server
                                       └── SubmitJob, once moto has taken it ──> a process for each element of the array

What is real: Lithops' unmodified back end and entry point, its compute environment, queue and job definition as moto checks
them, and AWS' limit of 8192 characters for what a job overrides. What is not: images (the driver's own Python stands for
them), limits of memory and time, and the state of jobs, as moto without Docker calls each one done.
"""

from .fleet import OVERRIDES_LIMIT, BatchService

__all__ = ["OVERRIDES_LIMIT", "BatchService"]
