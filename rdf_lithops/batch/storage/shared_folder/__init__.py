"""What Lithops imports as ``lithops.storage.backends.shared_folder``."""

from rdf_lithops.batch.shared_folder import SharedFolder as StorageBackend

__all__ = ["StorageBackend"]
