"""What runs before anything of ours.

launcher         what Lithops takes for its Python on localhost: hands a command on
prefork          the Python that is up already and forks for each command
pre_run          what Lithops calls first in the process that it forks for a call
descriptions     what boto3 reads of AWS' services, once for all calls
lambda_handler   the entry point of the image on AWS Lambda
"""
