"""What Lithops imports as ``lithops.serverless.backends.slurm``."""

from rdf_lithops.batch.slurm import SlurmBackend as ServerlessBackend

__all__ = ["ServerlessBackend"]
