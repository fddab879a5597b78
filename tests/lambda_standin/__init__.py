"""AWS Lambda on this machine: the control plane is moto's, the calls run in the real runtime client, ``awslambdaric``.

    boto3, Lithops ──HTTP──> Service ──┬── control plane (Lambda, ECR, STS, IAM) ──> moto's server
                                       ├── objects ──> S3 server (Ceph's gateway, or moto's)
                                       └── invocations ──> Environment: a container of the image, or a process,
                                                           that asks its own runtime API for events, as on Lambda

What is as on Lambda: one event at a time per environment; environments are reused, frozen between events and killed when
they run out of memory or time; a quota of environments; an event that failed is delivered again twice; initialisation
before the first event; with SnapStart a snapshot per published version, and copies of it (see ``snapshots``). What is not:
scheduling within milliseconds, the size of the machine, and signatures, which moto does not check.
"""

from .environment import Function, Places
from .service import Invocation, Service
from .standing import Standing, image, standing, where

__all__ = ["Function", "Invocation", "Places", "Service", "Standing", "image", "standing", "where"]
