"""Results for people: figures, pages, and what the terminal shows.

It knows results and training's states; it may import those and the pure pictures of `figures`.
"""
