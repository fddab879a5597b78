"""Attempts until all partials are there. Knows neither ROOT nor Lithops.

running       begins attempts and backups, looks at them, closes them: the loop of a run
attempts      one attempt, and what is asked of whoever submits it
books         what is known of each call: its partial, or what trouble it had, and what runs next
watch         which calls have ended, which live, which never will
fold_rounds   the rounds in which many or large partials are folded
early_folds   groups of the first round that are folded while the last calls run
joint         a round of the fold of which some calls were begun early, as one submission
outcomes      what a run has come to, and the error that a result carries
account       what a run has set aside of its budget
events        what happens in a run, as values for whoever shows or counts
heap          what a program has in memory already, which Python leaves alone while many calls run
interrupts    a Ctrl-C that nobody drops
"""
