"""What the user booked, and the seam with ROOT: DistRDF's back end, the graph that travels, what becomes of its results.

backend        DistRDF's back end: data frames, and what DistRDF asks of it
asking         what users ask: ``plan``, ``report``
graphs         RunGraphs: what DistRDF would run of many graphs, as one run
computation    what DistRDF would run of a graph, as a value; whom its result fills
execution      runs what is wanted, one graph or several in one run
sameness       whether a program that is started again asks for the same
unseen         what its answer may depend on that nobody sees
preparing      from what DistRDF was about to run to a run that can go
foreseeing     what the driver does with a result, done once before there is one
delivering     what comes back, as DistRDF wants it
travelling     the graph and its ranges as workers get them
python_functions  Python functions in ``Filter`` and ``Define``
rewriting      default branches and ``rdfentry_``, said so that they mean the same on a worker
selecting      entry lists and ranges of specifications
declaring      C++, headers and ``initialize``, tried where they are given
listening      stands around ROOT's functions that declare or load something
variables      the values that variables of such C++ have when a graph is run
singletons     objects that functions of such C++ keep and hand out
cpp_literals   values as C++ writes them
object_states  what objects hold, as C++ that makes others hold the same
environment    environment variables that the program has set
spellings      what is kept of each call with which a program gives something to the interpreter
recording      what the program gave to the interpreter, in its order
statements     C++ as text: statements, and the names that they bring
included       the user's own files that C++ includes
undeclared     why a worker does not know a name that the driver knows
proxies        each attribute that is taken of a node stands for itself
booking        what is refused when it is booked
afterwards     what a program does behind a booking, and that would give it another meaning
unknown_columns  columns that are not there
unfetched      columns whose values ranges cannot hand out
uncompiled     what does not compile when it is booked
default_types  defaults of another type than their column
own_axis       Histo1D without limits
weighted_statistics  Stats with weights
weighted_values  values and weights that come to the driver, one after the other
bad_files      files that cannot be read, left out on purpose
openable       whether data opens here
told_entries   chains that were told how many entries to read
indexed_friends  friends whose entries are found by an index
reference      the file that says which columns there are
operations     the table of RDataFrame's methods: who answers each, or why it is refused
answers        what the driver's own data frame answers
composed       methods that others amount to: Take, Cache, columns of slots
first_entries  Range
in_memory      arrays, texts and CSV files as data frames
functions      RunGraphs, SaveGraph and other functions that take a node
drawn_graph    the drawing of a graph
masks          trees with variations in them
kept_instantiations  what Cling compiled on workers elsewhere, left for the next library
libraries_first  what calls would have Cling compile, made into a library before them where that pays
naming         names that results lack when they come back
live_drawing   LiveVisualize
"""
