"""Partials and how they become one result, on both sides of the wire.

order      in which order partials are folded, and by one call or by a tree of calls
partials   results as bytes and back, and the fold of many: needs ROOT
moments    means and standard deviations, merged by us
sums       what histograms sum over all fills, added as it is
arrays     AsNumpy's columns, which nobody on the way takes apart
shelf      large envelopes lie in Lithops' storage until they are folded
"""
