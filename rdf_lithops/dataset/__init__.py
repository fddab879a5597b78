"""What lies where, where it is cut into ranges, who may read it, and the Snapshots that are written.

names            what the user's arguments mean: patterns into names, and the version of each remote file
signed_sources   the URLs with secrets that names stand for, kept in this process
survey           opens files and asks what lies in them: entries, clusters, bytes of branches
look_cache       what a file holds, asked once for each version of it
layout           the answer as a value, and where to cut it: pieces of about the same load
columns          which columns a graph reads, guessed from its text
friends          which files a range of a dataset with friends needs
ranges_by_load   DistRDF's ranges, made so that they mean those pieces
halving          one range in two, where it was too much for a worker
identity         whether two names mean one file
snapshots        where a Snapshot goes: refused, removed after a failure, published
joining          a Snapshot's small parts as one file of the name that was given
manifest         the file that says which parts a published Snapshot has
driver_processes which process a driver is, and whether it still lives
credentials      which credentials the user has, which of them a run needs, and how they are sealed
tickets          Kerberos caches, read
"""
