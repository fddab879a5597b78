"""A stand-in of Kubernetes' API: the part that Lithops' back end calls, behind real HTTP, with a process for each pod."""
