"""Importing this has boto3, where it is loaded, read what it knows of AWS' services: once, for this process and its forks.

Lithops makes two storages in each call, each with a session of boto3 that would look for it and read it anew.
"""

from __future__ import annotations

import contextlib
import functools
import sys

__all__: list[str] = []

if "botocore" in sys.modules:  # decision 79
    import botocore.session

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    with contextlib.suppress(Exception):  # of a wrong setting of the user's: whoever needs a client says it
        _nobody = {"aws_access_key_id": "-", "aws_secret_access_key": "-"}
        botocore.session.Session().create_client("s3", region_name="us-east-1", **_nobody).close()
