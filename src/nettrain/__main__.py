"""`python -m nettrain`: the command line."""

from nettrain.app.cli import main

if __name__ == "__main__":
    main()
