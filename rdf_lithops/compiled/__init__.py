"""What is compiled once and used by every process after: RDataFrame's templates, and C++ of our own.

Compiling a graph is instantiating four function templates of ROOT's for the types at hand. What lies in a library, and is
declared ``extern template`` before the graph is compiled, Cling does not instantiate again.

    catalogue            which instantiations a base library has: those that analyses use most
    instantiation_lines  an instantiation as a line of C++, and how to read those that a graph asks for out of ROOT's log
    noting               what a graph had Cling instantiate, left for the next library
    library              where libraries lie, whether one may be trusted, and how it is loaded
    build                the process that makes one, in the background
    ours                 our own C++, the headers of this folder: called in its library, or compiled by Cling
    compiling            how what Cling compiles is optimised
    signals              a Ctrl-C waits while C++ runs that an exception cannot leave
    header_paths         what ROOT asks the compiler at each start, asked once
"""
