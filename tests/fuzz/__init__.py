"""A differential fuzzer: random programs run in local RDataFrame, the oracle, and through Lithops; answers and errors must agree."""
