"""What Lithops imports as ``lithops.serverless.backends.htcondor.config``."""

from rdf_lithops.batch.htcondor import load_config

__all__ = ["load_config"]
