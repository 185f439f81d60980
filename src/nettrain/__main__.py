"""`python -m nettrain`: the command line."""

from nettrain.app.main import main

if __name__ == "__main__":
    main()
