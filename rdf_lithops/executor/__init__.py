"""The seam with Lithops: what is done with its executor.

The package ``batch`` is the other seam: there Lithops calls us.

registry          which session an executor has
session           what is kept for one executor: its jobs, its processes, what its runs have taught
lithops_patches   what is set on a stock executor, so that it neither hangs nor loses data under us
forked_jobs       jobs of Lithops' localhost back end as forks of a Python that is up
lithops_copy      Lithops' copy of its own package on this machine
local_processes   what a driver runs beside itself on its own machine
releasing         what belongs to an executor ends with it
payload           the user's headers, libraries, C++ and ``initialize``, gathered
run_folders       what one run keeps in Lithops' storage and gives its calls
library_store     this machine's instantiation libraries, for workers elsewhere
submission        one ``map_reduce``: submitted, looked at, cancelled, forgotten
gate              where ``map_reduce`` waits between maps and reducer, where a reducer that waits would be paid
pods              what keeps a pod of Lithops' Kubernetes back end from starting
turns             whose turn it is among max_workers
aliases           calls through the alias of a published version, which has a snapshot (SnapStart)
invoking          invocations that are throttled or refused
invocations       how they go to AWS Lambda: a connection for each thread, by libcurl
looks             how the storage is asked what became of calls
reads             statuses of calls that may have ended, read in the background
objects           objects of Lithops' storage, read, listed and deleted for the driver
listings          which calls have begun, beaten and ended, in one look
clearing          objects of calls that have been read, deleted while others run
statuses          Lithops' status of a call that has ended, read
localhost         what runs, waits or was lost in Lithops' local back end
complaints        what Lithops says of jobs that we have stopped, which is no news
jobs              Lithops' jobs that are ours, and the deletion of all that they leave
messages          calls that have ended, as Lithops' own monitoring tells it by messages
resuming          what a run has left whose driver was killed, taken up by the next
first_look        before an executor's first run: its record, and what killed drivers have left
asked_for         which run the program, or who has started it, wants to have taken up
likeness          whether two runs compute the same, and if not, what is different
under_way         what calls of a killed driver have done, and those that live on elsewhere
leftovers         what runs left whose driver was killed: found, and removed
replay            a failed range, kept so that it can run here
replication       ``replicate``: copies of a dataset, and their manifest
copy_calls        the parts of a copy as the calls of a run
"""
