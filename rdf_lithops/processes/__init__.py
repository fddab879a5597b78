"""Processes that outlive a task: how they are found, started, asked, timed and watched, on both sides of the wire.

warm                    the ROOT process of this user on this machine: found or started, and asked
wire                    frames over a Unix socket: JSON and bytes
hints                   what a driver foresees, for the ROOT process beside it
beats                   signs of life of a call, and what ends with what
library_making          instantiation libraries that are missing, made when a program ends
seconds                 a stopwatch per kind of work, and where a call ran
restored                what a copy of a snapshot makes anew, on AWS Lambda with SnapStart
inherited_connections   connections that a fork must not use
"""
