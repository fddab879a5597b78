"""What crosses the wire as bytes, as both sides see it: envelopes of partials, sealed credentials."""
