"""The far side of the wire: what Lithops calls, wherever it runs a call. Nothing here imports the driver's side.

``task`` holds the values that Lithops calls, ``copying`` those of ``replicate``; ``payload`` brings the user's code;
``start`` is what runs before them, ``root`` what runs in processes with ROOT, ``instantiations`` what those need
not compile.
"""
