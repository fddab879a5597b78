"""The data frame of one range, as both sides make it: which entries, of which files, opened how, under which settings.

fields      the dictionaries in which a dataset, its ranges and calls travel, field by field
ranges      DistRDF's ranges as dictionaries, and back
opening     the data frame of a range
schema      what one file holds: entries, clusters, types of columns
selection   which entries are meant where not all are
samples     ``rdfsampleinfo_`` as local RDataFrame has it
in_memory   columns that travel with a graph
settings    ROOT's global settings that change results
default_values  DefaultValueFor, of the right type
typed       Sum, Min and Max of a type that the program gave
compiler    what Cling's compiler says
"""
