"""What will run and what it may cost: values, and arithmetic on them. Knows neither ROOT nor Lithops.

plans     ``Plan``: the calls of a run, to be read, printed and driven by hand
packing   the plans of several graphs as one
outlook   what a plan is expected to take and to cost, and the most that it can cost
cost      seconds from bytes, GB-s from seconds, USD from GB-s (``prices.json``)
making    whether a library of instantiations is made before the calls
list_prices  prices that a provider's own list has said, kept for later plans
limits    what a back end gives one call at most, and how many run at once

A new back end of Lithops goes into ``limits`` and ``cost`` (``prices.json``). Where a dataset is cut into ranges:
``dataset.layout``.
"""
