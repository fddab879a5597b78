"""Objects of Lithops' storage, read, listed and deleted for the driver: as Lithops does it, or several times faster on S3.

boto3 takes 0.8 ms of the driver's processor for an object and 70 ms for a list of a thousand names, obstore 0.1 and 4. Where
Lithops' storage is a client of boto3, its endpoint, region and credentials are obstore's, too.
"""

from __future__ import annotations

import itertools
from typing import Any

from ..files import object_stores

__all__ = ["Objects", "S3Objects", "objects_of"]

PAGE = 1000  # names that S3 gives, or takes to be deleted, at a time


class Objects:
    """The storage as Lithops has it. Raises what Lithops' storage does."""

    ordered = False  # whether names can be listed from one on: see S3Objects

    def __init__(self, storage: Any) -> None:
        self._storage = storage

    def get(self, key: str) -> bytes:
        """An object; FileNotFoundError, or Lithops' own error, where there is none."""
        return bytes(self._storage.get_object(self._storage.bucket, key))

    def below(self, beginning: str) -> dict[str, object]:
        """Names of objects that begin so, each with what changes when the object does, or None."""
        storage = self._storage
        if getattr(storage.storage_handler, "names_only", False):
            return dict.fromkeys(storage.list_keys(storage.bucket, beginning))
        found = storage.list_objects(storage.bucket, beginning)
        return {str(each["Key"]): each.get("ETag") or each.get("LastModified") for each in found}

    def delete(self, names: list[str]) -> None:
        """Delete these objects; one that is not there is no error."""
        self._storage.delete_objects(self._storage.bucket, names)

    def delete_below(self, prefix: str) -> None:
        """Delete all objects of a folder."""
        names = self._storage.list_keys(self._storage.bucket, f"{prefix}/")
        if names:
            self.delete(names)


class S3Objects(Objects):
    """The same of a storage that speaks S3, through obstore, whose ``store`` this is. Raises what obstore does."""

    ordered = True

    def __init__(self, storage: Any, store: Any) -> None:
        super().__init__(storage)
        self._store = store

    def get(self, key: str) -> bytes:
        return object_stores.read(self._store, key)

    def between(self, folder: str, first: str, last: str) -> dict[str, object]:
        """Names of the objects of ``folder`` in its folders ``first`` to ``last``, as in ``below``."""
        if first == last:  # no names of others come along
            own = itertools.chain.from_iterable(self._store.list(f"{folder}/{first}", chunk_size=PAGE))
            return {each["path"]: each["e_tag"] or each["last_modified"] for each in own}
        found: dict[str, object] = {}
        for page in self._store.list(folder, offset=f"{folder}/{first}", chunk_size=PAGE):
            for each in page:
                if each["path"] > f"{folder}/{last}/\U0010ffff":
                    return found
                found[each["path"]] = each["e_tag"] or each["last_modified"]
        return found

    def delete(self, names: list[str]) -> None:
        self._store.delete(names)

    def delete_below(self, prefix: str) -> None:
        for page in self._store.list(prefix, chunk_size=PAGE):
            self._store.delete([each["path"] for each in page])


def objects_of(storage: Any) -> Objects:
    """The objects of Lithops' ``storage``."""
    client = getattr(getattr(storage, "storage_handler", None), "s3_client", None)
    signer = getattr(client, "_request_signer", None)  # boto3 has no public way to its own credentials
    credentials = getattr(signer, "_credentials", None)
    if client is None or credentials is None:
        return Objects(storage)
    endpoint, region = str(client.meta.endpoint_url), str(client.meta.region_name or "us-east-1")
    return S3Objects(storage, object_stores.store_of(storage.bucket, endpoint, region, credentials))
