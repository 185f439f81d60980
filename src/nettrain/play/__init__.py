"""`nettrain-play`: a page on which small networks are seen while they train, served to the browser of this machine.

It is at the top of the layers and may import from all others; nothing imports it.
"""
