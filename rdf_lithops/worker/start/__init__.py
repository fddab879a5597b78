"""What runs before anything of ours: Lithops' interpreter (``launcher``), its forks (``prefork``, ``pre_run``), Lambda's."""
