"""What Lithops imports as ``lithops.serverless.backends.slurm.config``."""

from rdf_lithops.batch.slurm import load_config

__all__ = ["load_config"]
