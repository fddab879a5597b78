"""Whether a place is ready for runs, and the workers' image.

check       asks everything that a run there would need, and names what is wrong
findings    the answer to one such question, as a value
runtime     builds, deploys, tries and weighs the image
snapstart   a published version of the function, with a snapshot, and the alias that leads to it
price_list  what AWS asks for Lambda in a region, from its own list
policies    AWS policy documents: is an action allowed, is more allowed than needed
pagecache   what of a file the kernel has in memory, and how to make it forget
"""
