"""What Lithops imports as ``lithops.storage.backends.shared_folder.config``."""

from rdf_lithops.batch.shared_folder import load_config

__all__ = ["load_config"]
