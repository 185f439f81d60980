"""The configuration: its schema, made of the parts' dataclasses, what its keys mean, and how it becomes objects.

It knows every part and Hydra; it may import parts, optimizers and data, and nothing that trains.
"""
