"""The processes that train one run together, as torchrun starts them: how they meet, and what they exchange.

It knows tensors and torch.distributed, which it imports only when there are several; it may import errors alone.
"""
