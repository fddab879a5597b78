"""The seam with Lithops, the only folder that imports it: sessions, submission, statuses, what killed drivers left."""
