"""A differential fuzzer: random programs over random files, run by local RDataFrame and through Lithops, and compared.

    columns   what a column holds, and how C++ reads a number from it
    sources   datasets made of columns: files of all kinds, and how they are written
    programs  what is booked on a data frame: nodes, actions, and how they are run
    results   every kind of result as plain values, and where two of them differ
    engine    one program on both sides
    __main__  programs for as long as one likes: ``make fuzz``

A program is a value: its ``repr`` is Python that makes it again. The oracle is local RDataFrame, value for value, error for
error: where local RDataFrame raises, an answer is a difference.
"""
