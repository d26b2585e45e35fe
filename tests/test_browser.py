"""The page in a browser: its sections fold, its tables sort, its pictures are there, and nothing goes wrong."""

import shutil

import pytest

from plastic_env.study.report import write_report
from plastic_env.study.runner import run_study
from plastic_env.study.sweep import Study

webdriver = pytest.importorskip("selenium.webdriver")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="there is no Chromium with its driver")

METHODS = ("dense", "grow", "recycle")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,900")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    changes = (("tasks", 4), ("updates", 20))
    run_study(Study("PermutedDigits-small-v0", METHODS, (0, 1), changes), folder, show_progress=False)
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.get(write_report(folder).as_uri())
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def _quiet(browser):
    """Nothing is said on the console, by any test."""
    yield
    assert browser.get_log("browser") == []


def find(browser, css):
    return browser.find_elements("css selector", css)


def is_open(section):
    return section.get_property("open")


def test_pictures_are_there(browser):
    sizes = browser.execute_script("return [...document.images].map(image => image.naturalWidth * image.complete)")
    assert len(sizes) == 12
    assert min(sizes) > 300


def test_every_section_folds_and_unfolds(browser):
    sections = find(browser, "main details.section")
    assert len(sections) > 15
    for section in reversed(sections):  # those within come first
        browser.execute_script("arguments[0].scrollIntoView()", section)
        section.find_element("css selector", "summary").click()
        assert not is_open(section)
    for section in sections:
        section.find_element("css selector", "summary").click()
        assert is_open(section)


def test_all_sections_fold_at_once_and_links_open_them(browser):
    button, sections = find(browser, "#fold")[0], find(browser, "main details.section")
    button.click()
    assert not any(map(is_open, sections))
    link = find(browser, "nav li li a")[-1]
    link.click()
    target = browser.find_element("id", link.get_property("hash")[1:])
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert is_open(target)
    assert target.is_displayed()  # so the one around it is open, too
    button.click()
    assert all(map(is_open, sections))


def test_paper_shows_what_is_folded(browser):
    section = find(browser, "main details.section")[1]
    browser.execute_script("arguments[0].open = false; window.dispatchEvent(new Event('beforeprint'))", section)
    assert is_open(section)
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert not is_open(section)
    browser.execute_script("arguments[0].open = true", section)


def test_tables_sort_by_their_numbers(browser):
    table = find(browser, "table.sortable")[0]
    heads = table.find_elements("css selector", "thead button")
    for name, first_way in (("TAOA", -1), ("MACs", -1), ("method", 1)):
        at = [head.text for head in heads].index(name)
        for way in (first_way, -first_way):
            heads[at].click()
            cells = table.find_elements("css selector", f"tbody tr > :nth-child({at + 1})")
            values = [cell.text if at == 0 else float(cell.get_attribute("data-value")) for cell in cells]
            assert values == sorted(values, reverse=way < 0)
            assert len(values) == len(METHODS)
    assert heads[at].find_element("xpath", "..").get_attribute("aria-sort") == "descending"


@pytest.mark.parametrize("width", [390, 1400])
def test_it_is_no_wider_than_the_screen(browser, width):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_it_is_readable_in_light_and_dark(browser):
    for scheme in ("light", "dark"):
        wanted = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [wanted]})
        for css in ("body", "td", ".caption", "nav a", "figcaption"):
            ink, ground = browser.execute_script(
                "const style = getComputedStyle(document.querySelector(arguments[0]));"
                "return [style.color, getComputedStyle(document.body).backgroundColor]",
                css,
            )
            assert contrast(ink, ground) >= 4.5, (scheme, css)  # WCAG 2, level AA


def contrast(*colours):
    lights = []
    for colour in colours:
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)
