"""Makes the README's picture of the page of a running server:
`python benchmarks/screenshot.py --row=12 --path=export/page.png`.

Needs playwright and Debian's chromium.
"""

import argparse
import shutil

from playwright import sync_api


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:8501")
    parser.add_argument("--row", type=int, default=0, help="of the image to ask for")
    parser.add_argument("--path", required=True)
    arguments = parser.parse_args(arguments)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 900, "height": 900})
        page.goto(arguments.address)
        page.locator("#training button").nth(arguments.row).click()
        page.wait_for_selector("#results li")
        page.wait_for_load_state("networkidle")
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=arguments.path)
        browser.close()


if __name__ == "__main__":
    main()
