"""The exercises of the course: whether an answer is right, and if not, where to look again.

`course` lists them, `answers` and `programs` say how numbers, choices and a student's own code are checked. They may
import what computes (data, optimizers), not what trains.
"""
