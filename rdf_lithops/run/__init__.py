"""Attempts until all partials are there: what is known (``books``), what is late (``watch``). No ROOT, no Lithops."""
