"""Train a run or a sweep from config files: `python train.py --help`."""

from nettrain.app.main import main

if __name__ == "__main__":
    main()
