"""What Lithops imports as ``lithops.serverless.backends.htcondor``."""

from rdf_lithops.batch.htcondor import HTCondorBackend as ServerlessBackend

__all__ = ["ServerlessBackend"]
