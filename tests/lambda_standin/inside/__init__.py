"""What runs inside a SnapStart environment of the stand-in, on its search path: nothing of it is imported by tests.

runtime        awslambdaric's own loop, whose ``/restore/next`` waits here
sitecustomize  has every Python of the environment freeze when it is told to
copying        the copy of a frozen process: same memory, same process id, files and sockets of its own
"""
