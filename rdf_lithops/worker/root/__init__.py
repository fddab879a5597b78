"""Processes that have ROOT in them.

parent    has ROOT warm, runs nothing of the user's, and forks
slot      a fork that has loaded one payload and serves one call at a time
execute   what a slot does with a call: each range, and the result of all
smoke     what an image must be able to do, tried where it runs
"""
