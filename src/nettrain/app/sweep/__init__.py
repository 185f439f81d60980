"""Many runs of the program: the launcher, stacks, searches, workers, the sweep's results.

It may import `app.jobs` and all below.
"""
