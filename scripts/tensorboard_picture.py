"""Take docs/tensorboard.png: what Chromium shows after the commands above it in the README."""

import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

from selenium import webdriver

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "tensorboard.png"
SHOWN = "^(loss|accuracy)/(train|val)"  # by which the cards are filtered
START = "from nettrain.app.tensorboard import tensorboard; tensorboard()"


def main() -> None:
    """Run the commands in an empty folder, and save the picture."""
    (block,) = re.findall(r"```sh\n([^`]*)```\n\n!\[TensorBoard", (ROOT / "README.md").read_text())
    sweep, board = (shlex.split(line) for line in block.splitlines())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, ROOT / "train.py", *sweep[2:]], cwd=place, check=True)
        server = subprocess.Popen([sys.executable, "-c", START, *board[1:], f"port={port}"], cwd=place)
        try:
            _wait_for(f"http://127.0.0.1:{port}/data/runs")
            _take(f"http://127.0.0.1:{port}/?tagFilter={quote(SHOWN)}&smoothing=0#timeseries")
        finally:
            server.terminate()
            server.wait()


def _wait_for(address: str) -> None:
    end = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def _take(address: str) -> None:
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1362,1110"):
        options.add_argument(flag)
    options.binary_location = "/usr/bin/chromium"
    browser = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    browser.get(address)
    time.sleep(20)  # until all charts are drawn
    browser.find_element("xpath", "//button[contains(., 'Settings')]").click()  # which closes them
    time.sleep(5)
    browser.save_screenshot(str(PATH))
    browser.quit()


if __name__ == "__main__":
    main()
