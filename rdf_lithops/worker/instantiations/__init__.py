"""RDataFrame's templates, instantiated once by a compiler and reused by Cling ever after.

Compiling a graph is instantiating four function templates of ROOT's for the types at hand. What lies in a library, and is
declared ``extern template`` before the graph is compiled, Cling does not instantiate again.

    catalogue   which instantiations a base library has: those that analyses use most
    signatures  an instantiation as a line of C++, and how to read those that a graph asks for out of ROOT's log
    library     where libraries lie, whether one may be trusted, and how it is loaded
    build       the process that makes one, in the background
"""
