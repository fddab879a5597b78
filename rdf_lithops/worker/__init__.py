"""The far side of the wire: what Lithops calls, wherever it runs a call. Nothing here imports the driver's side.

    task             the objects that Lithops calls for ranges: map, merging of files
    fold_task        those that it calls to fold: the reducer, rounds of a tree
    surroundings     what the tasks of a run have in common
    together         several graphs in one call, and their folds in one reducer
    messages         what a task asks of a ROOT process, field by field
    copying          those that ``replicate`` sends
    libraries        a run's instantiation libraries, fetched and loaded
    payload          brings the user's code into a process
    faults           scripted faults, for tests

``start`` is what runs before them, ``root`` what runs in processes with ROOT.
"""
