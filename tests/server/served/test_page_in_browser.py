"""The page in headless Chromium: what a visitor does, with mouse and with keys.

Needs playwright and axe-playwright-python (extra `test`) and Debian's chromium.
"""

from urllib.parse import urlencode

import pytest

from tests.support.requests import b64

axe = pytest.importorskip("axe_playwright_python.sync_playwright")


@pytest.fixture
def page(browser, server, request):
    """The page, loaded; the test fails where it logs an error."""
    context = browser.new_context(color_scheme=getattr(request, "param", "light"))
    page, errors = context.new_page(), []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.wait_for_selector("#training li")
    yield page
    context.close()
    assert errors == []


def wait_for_answer(page, name):
    page.wait_for_function(
        "name => document.getElementById('status').textContent.includes(name)",
        arg=f"neighbors of {name} in",
    )


def wait_for_number(page, selector, number):
    page.wait_for_function(
        "([s, n]) => document.querySelectorAll(s).length === n", arg=[selector, number]
    )


def choose_file(page, digit, row):
    file = {"name": f"{row}.png", "mimeType": "image/png", "buffer": digit(row)}
    page.set_input_files("#file", file)
    wait_for_answer(page, f"{row}.png")


def found(page):
    return page.locator("#results .id").all_text_contents()


def test_a_file_shows_its_neighbors_and_a_click_walks_on_and_back(page, digit):
    choose_file(page, digit, 7)
    assert len(found(page)) == 12
    assert found(page)[0] == "7"
    assert page.locator("#results .label").first.text_content() == "7"
    assert page.locator("#results .similarity").first.text_content() == (
        "similarity 1.000"
    )
    assert " ms (ScaNN, exact)" in page.text_content("#status")
    next_name = found(page)[1]
    page.locator("#results button").nth(1).click()
    wait_for_answer(page, next_name)
    assert next_name not in found(page)
    assert len(found(page)) == 12
    page.click("#back")
    wait_for_answer(page, "7.png")
    assert page.locator("#back").is_disabled()


def test_the_sliders_set_how_many_and_how_similar(page, digit):
    choose_file(page, digit, 3)
    page.locator("#k").fill("5")
    wait_for_number(page, "#results li", 5)
    page.locator("#k").fill("100")
    wait_for_number(page, "#results li", 100)
    page.locator("#threshold").fill("0.99")
    page.wait_for_function(
        "() => document.querySelectorAll('#results li').length < 100"
    )
    assert page.text_content("#threshold-value") == "0.99"


def test_it_works_with_keys_alone(page):
    assert page.locator("#training li").count() == 60
    page.focus("#more")
    page.keyboard.press("Enter")
    wait_for_number(page, "#training li", 120)
    page.locator("#training button").nth(9).focus()
    page.keyboard.press("Enter")
    wait_for_answer(page, "9")
    assert page.evaluate("document.activeElement.id") == "results-heading"
    page.keyboard.press("Tab")  # "Back" is disabled: the first result.
    assert page.evaluate("document.activeElement.closest('#results') !== null")
    page.focus("#k")
    page.keyboard.press("ArrowRight")
    wait_for_number(page, "#results li", 13)


def test_images_can_be_pasted_and_dropped(page, digit):
    give = """([bytes, name, kind, where]) => {
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
        const target = document.getElementById(where);
        const event = kind === "paste"
          ? new ClipboardEvent("paste", {clipboardData: files, bubbles: true})
          : new DragEvent("drop", {dataTransfer: files, bubbles: true,
                                   cancelable: true});
        target.dispatchEvent(event);
        // Or the browser leaves the page for the file.
        if (kind === "drop" && !event.defaultPrevented) throw Error("not taken");
    }"""
    for kind, row, where in (("paste", 4, "drop"), ("drop", 6, "drop"),
                             ("drop", 8, "training-heading")):  # fmt: skip
        name = f"{kind} {row}.png"
        page.evaluate(give, [list(digit(row)), name, kind, where])
        wait_for_answer(page, name)
        assert found(page)[0] == str(row)


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_axe_finds_nothing_serious(page, digit):
    choose_file(page, digit, 7)
    violations = axe.Axe().run(page).response["violations"]
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["help"]) for v in serious] == []


def test_what_is_no_image_is_told(browser, server):
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/")
    file = {"name": "x.png", "mimeType": "image/png", "buffer": b"no image"}
    page.set_input_files("#file", file)
    page.wait_for_function(
        "() => document.getElementById('status').textContent.includes('not decode')"
    )
    page.close()


@pytest.mark.parametrize("page", ["light", "dark"], indirect=True)
def test_the_page_of_routes_is_read_and_opened_by_keyboard(page, server):
    page.goto(f"http://127.0.0.1:{server.port}/docs")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert "threshold" in page.locator("pre:visible").first.text_content()
    violations = axe.Axe().run(page).response["violations"]
    serious = [v for v in violations if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["help"]) for v in serious] == []


def test_the_browsers_back_and_forward_walk_and_addresses_can_be_sent(
    page, browser, server, digit
):
    choose_file(page, digit, 7)
    page.locator("#results button").nth(1).click()
    second = page.locator("#query-caption").text_content()
    wait_for_answer(page, second)
    page.locator("#k").fill("5")
    wait_for_number(page, "#results li", 5)
    sent = page.url
    names = found(page)
    page.go_back()
    wait_for_answer(page, "7.png")
    page.go_forward()
    wait_for_answer(page, second)
    page.reload()
    wait_for_answer(page, second)
    assert found(page) == names
    page.go_back()  # A file is not kept when the page is loaded again.
    page.wait_for_function(
        "() => document.getElementById('status').textContent === 'No query yet.'"
    )
    assert page.locator("#results li").count() == 0

    other = browser.new_page()
    other.goto(sent)
    wait_for_answer(other, second)
    assert found(other) == names
    assert other.input_value("#k") == "5"
    assert other.locator("#back").is_disabled()
    other.goto(sent.replace(f"id={second}", "id=no+such"))
    other.wait_for_function(
        "() => document.getElementById('status').textContent.includes('No item has')"
    )
    other.close()


def test_on_a_phone_a_long_path_does_not_scroll_sideways_and_has_its_picture(
    browser, server, noise
):
    name = "/volume1/photo/" + "a-long-name-without-blanks" * 8 + ".jpg"
    item = {"id": name, "image": b64(noise), "label": "l" * 200}
    assert server.ask("POST", "/v1/items", {"items": [item]})[0] == 200
    page = browser.new_page(viewport={"width": 360, "height": 640})
    page.goto(f"http://127.0.0.1:{server.port}/#{urlencode({'id': name, 'k': 3})}")
    wait_for_answer(page, name)
    for selector in ("#query-image", "#results img >> nth=0"):
        page.locator(selector).scroll_into_view_if_needed()
        page.wait_for_function(
            "image => image.naturalWidth > 0",
            arg=page.locator(selector).element_handle(),
        )
    sizes = "[document.documentElement.scrollWidth, innerWidth]"
    width, window = page.evaluate(sizes)
    assert width <= window
    page.goto(f"http://127.0.0.1:{server.port}/docs")
    width, window = page.evaluate(sizes)
    assert width <= window
    page.close()
    assert server.ask("DELETE", f"/v1/items?{urlencode({'id': name})}")[0] == 200
