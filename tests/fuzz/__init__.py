"""A differential fuzzer: random programs over random files run in local RDataFrame, the oracle, and through Lithops.

    schemas   which kinds of columns there are        files     files as values, and how they are written
    sources   datasets, and the Python that opens them    graphs    nodes and actions, as lines of Python
    programs  files and queries in turn: one text, which is run, printed and kept
    running   a program on both sides: answers and errors must agree
    compare   every kind of result as plain values    hunt, __main__   programs for as long as one likes: ``make fuzz``

``regressions`` has programs that differed once.
"""
