"""Processes that have ROOT in them.

parent          has ROOT warm, runs nothing of the user's, and forks
slots           how it listens, forks and buries
leases          what it knows of slots and of who asks for one
renewal         what it makes anew where it is a copy of a snapshot
slot            a fork that has loaded one payload and serves one call at a time
initialisation  ROOT is brought up, and what every graph needs made ready
first_uses      what Python compiles for the first use of a method, done beforehand
graphs          graphs that were compiled, kept and run again
clones          clones of what has run, for the next range
execute         what a slot does with a call: each range, and the result of all
failures        what is said of a call that failed
smoke           what an image must be able to do, tried where it runs
"""
