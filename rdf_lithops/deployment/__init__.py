"""Whether a place is ready for runs, and the workers' image.

check       asks everything that a run there would need, and names what is wrong
runtime     builds, deploys, tries and weighs the image
policies    AWS policy documents: is an action allowed, is more allowed than needed
pagecache   what of a file the kernel has in memory, and how to make it forget
"""
