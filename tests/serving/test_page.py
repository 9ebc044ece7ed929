"""The page in a real browser: every section by file, by microphone and by keyboard."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.made_up import sing
from tests.serving.conftest import Server

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",  # Its own does not work for root in a container.
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="needs a browser: apt install chromium chromium-driver",
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(apps_server: Server, browser: webdriver.Chrome) -> Iterator[webdriver.Chrome]:
    browser.set_window_size(1280, 1000)
    browser.get(apps_server.url)
    wait(browser, lambda: "version 1" in text(browser, "#request .version"))
    yield browser
    # Whatever was refused by the browser, the content security policy above all, is there.
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def wait(browser: webdriver.Chrome, condition) -> None:
    WebDriverWait(browser, 20, poll_frequency=0.05).until(lambda _: condition())


def text(browser: webdriver.Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def result(browser: webdriver.Chrome, section: str) -> str:
    """What a section shows once it has an answer."""
    selector = f"#{section} .result"
    wait(browser, lambda: text(browser, selector) not in ("", "One moment …"))
    return text(browser, selector)


def choose(browser: webdriver.Chrome, section: str, file: Path) -> None:
    browser.find_element(By.CSS_SELECTOR, f"#{section} input[type=file]").send_keys(str(file))


def wave(folder: Path) -> Path:
    soundfile.write(folder / "a.wav", sing(["ab", "bc"], 16_000), 16_000, subtype="PCM_16")
    return folder / "a.wav"


def test_a_picture(page, tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    choose(page, "picture", tmp_path / "a.png")
    shown = result(page, "picture")
    assert "cat\n75.0%" in shown.replace(" 75.0%", "\n75.0%") and " ms" in shown
    image = page.find_element(By.CSS_SELECTOR, "#picture img")
    wait(page, lambda: image.get_property("naturalWidth") == 40)


def test_a_file_that_is_no_picture_is_told_in_words(page, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    choose(page, "picture", tmp_path / "a.txt")
    assert result(page, "picture") == "Expected a PNG file."


def test_a_recording(page, tmp_path: Path) -> None:
    choose(page, "speech", wave(tmp_path))
    assert "turn on the lamp" in result(page, "speech")
    words = page.find_elements(By.CSS_SELECTOR, "#speech .words span")
    assert [word.get_property("textContent") for word in words] == ["turn", "on", "the", "lamp"]
    unsure = [word.text for word in words if "unsure" in word.get_attribute("class")]
    assert unsure == ["the"]
    places = [word.rect["x"] for word in words]
    assert places == sorted(places)
    assert drawn(page, "#speech canvas")


def drawn(browser: webdriver.Chrome, selector: str) -> bool:
    """Whether every canvas has points of different colours."""
    script = """return [...document.querySelectorAll(arguments[0])].every((canvas) => {
        const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size > 1;
    })"""
    wait(browser, lambda: browser.execute_script(script, selector))
    return True


def test_other_formats_are_sent_as_wav(page, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", sing(["ab"], 16_000), 16_000)
    choose(page, "speech", tmp_path / "a.ogg")
    assert "turn on the lamp" in result(page, "speech")


def test_a_file_that_is_no_recording_is_told_in_words(page, tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_text("no sound")
    choose(page, "speech", tmp_path / "a.mp3")
    assert result(page, "speech") == "This browser cannot decode the file; try WAV."


def test_the_microphone(page) -> None:
    button = page.find_element(By.CSS_SELECTOR, "#speech .record")
    button.click()
    wait(page, lambda: button.text == "Stop")
    page.execute_async_script("setTimeout(arguments[0], 700)")
    button.click()
    wait(page, lambda: "turn on the lamp" in text(page, "#speech .result"))
    assert button.text == "Record"
    seconds = page.find_element(By.CSS_SELECTOR, "#speech .note").text
    assert "0.0 s long" not in seconds and " s long" in seconds


def test_a_text_by_keyboard(page) -> None:
    field = page.find_element(By.ID, "review-text")
    field.clear()
    field.send_keys("lovely", Keys.TAB, Keys.ENTER)
    assert "positive" in result(page, "review")


def test_slots_are_marked_by_characters_and_not_by_units(page) -> None:
    field = page.find_element(By.ID, "request-text")
    field.clear()
    # As a person pastes it: the driver cannot type characters beyond the basic plane.
    page.execute_script("arguments[0].value = '😀 <b>on</b> lamp'", field)
    field.send_keys(Keys.ENTER)
    assert "turn_on" in result(page, "request")
    mark = page.find_element(By.CSS_SELECTOR, "#request mark")
    assert mark.get_property("firstChild")["textContent"] == "lamp"
    assert text(page, "#request .sentence").startswith("😀 <b>on</b>")


def test_a_spoken_command_is_understood(page, tmp_path: Path) -> None:
    choose(page, "command", wave(tmp_path))
    shown = result(page, "command")
    assert "turn on the lamp" in shown and "turn_on" in shown and "device" in shown


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(page, tmp_path: Path, width: int) -> None:
    page.set_window_size(width, 900)
    choose(page, "command", wave(tmp_path))
    result(page, "command")
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.execute_script(script) == 0


def test_a_model_that_is_not_there_is_told_in_words(browser, server: Server) -> None:
    browser.get(server.url)
    wait(browser, lambda: "apps.nlu.train" in text(browser, "#request .version"))
    browser.find_element(By.CSS_SELECTOR, "#request button").click()
    assert "Train one: python -m apps.nlu.train" in result(browser, "request")
    browser.get_log("browser")


def test_a_server_that_is_gone_is_told_in_words(browser, apps_server: Server) -> None:
    browser.get(f"{apps_server.url}/?server=http://127.0.0.1:9")
    wait(browser, lambda: "does not answer. Is it running?" in text(browser, "#review .version"))
    browser.get_log("browser")
