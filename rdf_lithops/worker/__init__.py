"""What runs on the far side of the wire, wherever Lithops runs a call.

Nothing here imports the driver side or lithops. ``task`` holds the objects that Lithops calls; ``warm`` finds the ROOT
process that outlives them; ``root_process`` is that process; ``execute`` is the only module here that touches ROOT.
"""
