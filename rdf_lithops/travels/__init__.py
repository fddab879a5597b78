"""What crosses the wire as bytes, as both sides see it.

arrived    partials that a reducer is handed, instead of fetching them
envelope   a partial, or a failure, as checked bytes
facts      what is said of a call beside its result, field by field
libraries  instantiation libraries that come with a run
sealed     credentials: sealed, unsealed with the key of their run, in place for the time of a request
"""
