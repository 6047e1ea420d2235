"""The web page in headless Chromium."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_phantom, encode
from dicom_files import dicom_of
from running_server import Running

from bone_age_tf import __version__
from bone_age_tf.preprocessing.localizer.network import POINTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.large,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]
SECONDS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, server: Running) -> Iterator[Any]:
    """The page, which must go without an error and without asking anyone else."""
    context = browser.new_context(viewport={"width": 1180, "height": 900}, accept_downloads=True)
    page = context.new_page()
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text))
    page.on(
        "request",
        lambda one: (
            None
            if one.url.startswith((server.page, "blob:", "data:"))
            else said.append(f"asked {one.url}")
        ),
    )
    page.goto(server.page)
    yield page
    context.close()
    assert said == []


@pytest.fixture(scope="module")
def hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "hand.png"
    path.write_bytes(encode(draw_phantom(120, 1)))
    return path


def read(page: Any, path: Path, sex: str) -> None:
    page.set_input_files("#file", path)
    page.check(f"input[value={sex}]", force=True)
    page.click("#read")


def test_a_file_is_read_and_shown(page: Any, hand: Path) -> None:
    page.fill("#years", "8")
    read(page, hand, "F")
    page.wait_for_selector(".months", timeout=SECONDS)
    assert " y " in page.inner_text(".months")
    assert "Not evaluated: its error is unknown." in page.inner_text("#answer")
    assert "synthetic" not in page.inner_text("#answer")
    assert "Comparison with chronological age" in page.inner_text("#answer")
    assert page.locator("#overlay circle").count() == len(POINTS)
    assert page.locator("#overlay path").count() >= 1
    assert not page.is_visible("#heat")
    assert "Grad-CAM" not in page.inner_text("#legend")
    page.check("#heat-shown")
    assert page.is_visible("#heat")
    assert "may disagree" in page.inner_text("#heat-legend")
    page.uncheck("#outline")
    assert not page.is_visible("#overlay")


def test_brightness_can_be_changed_before_and_after_the_answer(page: Any, hand: Path) -> None:
    assert not page.is_visible("#tools")
    page.set_input_files("#file", hand)
    page.fill("#brightness", "250")
    shown = "getComputedStyle(document.getElementById('radiograph')).filter"
    assert page.evaluate(shown) == "brightness(2.5)"
    page.check("input[value=F]", force=True)
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)
    page.wait_for_timeout(400)  # it fades in from what it is while the server reads
    assert page.evaluate(shown) == "brightness(2.5)"
    page.click("#another")
    page.set_input_files("#file", hand)
    assert page.evaluate(shown) == "brightness(1)"


def test_a_file_is_dropped(page: Any, hand: Path) -> None:
    page.evaluate(
        """async (bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "hand.png", {type: "image/png"}));
          dispatchEvent(new DragEvent("drop", {dataTransfer: data, cancelable: true}));
        }""",
        list(hand.read_bytes()),
    )
    assert page.is_visible("#view")
    assert not page.is_visible("#drop")
    page.check("input[value=unknown]", force=True)
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)


def test_a_height_is_answered_without_another_upload(page: Any, hand: Path) -> None:
    read(page, hand, "F")
    page.wait_for_selector(".growth button", timeout=SECONDS)
    sent: list[str] = []
    page.on("request", lambda one: sent.append(one.url.rpartition("/")[2]))
    page.click(".growth button")
    page.keyboard.type("1,3")
    page.wait_for_selector(".fault")
    assert "Child “1,3” looks like metres." in page.inner_text(".fault")
    assert "has to be corrected" in page.inner_text(".growth")
    page.click("text=Use 130.0 cm")
    page.fill("#mother_height_cm", "165")
    page.fill("#father_height_cm", "180 cm")
    page.wait_for_selector(".growth svg")
    assert page.locator(".fault").count() == 0
    text = page.inner_text(".growth")
    assert (
        "None: the table is for bone ages by Greulich and Pyle" in text
    )  # the manifest names no method
    assert "Target height by the parents 166.0 cm, range 157.5 to 174.5 cm" in text
    assert {one.partition("?")[0] for one in sent} == {"growth"}
    assert " y " in page.inner_text(".months")
    for name in ("height_cm", "mother_height_cm", "father_height_cm"):
        page.fill(f"#{name}", "")
    page.wait_for_selector(".growth button")


def test_nothing_is_read_without_a_sex(page: Any, hand: Path) -> None:
    page.click("#read")
    assert "radiograph" in page.inner_text("#missing")
    page.set_input_files("#file", hand)
    page.click("#read")
    assert "sex" in page.inner_text("#missing")
    assert page.locator("#answer > *").count() == 0


def test_an_answer_goes_with_what_it_was_for(page: Any, hand: Path) -> None:
    read(page, hand, "F")
    page.wait_for_selector(".months", timeout=SECONDS)
    page.check("input[value=M]", force=True)
    assert page.locator("#answer > *").count() == 0
    assert page.locator("#overlay > *").count() == 0
    assert not page.is_visible("#heat")


def test_a_change_while_it_is_read_drops_the_answer(page: Any, hand: Path) -> None:
    page.evaluate(
        """() => {
          const ask = window.fetch;
          window.fetch = async (...given) => {
            const answer = await ask(...given);
            await new Promise((done) => setTimeout(done, 1000));
            window.answered = true;
            return answer;
          };
        }"""
    )
    read(page, hand, "F")
    page.check("input[value=M]", force=True)
    while not page.evaluate("window.answered"):
        page.wait_for_timeout(100)
    page.wait_for_timeout(300)
    assert page.locator("#answer > *").count() == 0
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)
    assert "for a boy" in page.inner_text("#answer")


@pytest.mark.parametrize(
    ("years", "months", "shown"),
    [
        ("10.5", "", "10 y 6 m"),
        ("10,5", "", "10 y 6 m"),
        ("9", "11", "9 y 11 m"),
        ("", "7", "0 y 7 m"),
    ],
)
def test_an_age_is_taken_as_it_is_typed(
    years: str, months: str, shown: str, page: Any, hand: Path
) -> None:
    page.type("#years", years)
    page.type("#months", months)
    read(page, hand, "F")
    page.wait_for_selector(".months", timeout=SECONDS)
    assert f"the chronological age of {shown}" in page.inner_text("#answer")


@pytest.mark.parametrize(
    ("years", "months"),
    [("10.5", "3"), ("100", ""), ("20", "1"), ("10", "12"), ("10", "5.5"), ("ten", ""), ("-1", "")],
)
def test_what_is_no_age_is_said(years: str, months: str, page: Any, hand: Path) -> None:
    page.type("#years", years)
    page.type("#months", months)
    read(page, hand, "F")
    assert "enter whole years" in page.inner_text("#missing")
    assert page.locator("#answer > *").count() == 0


@pytest.mark.parametrize("age", ["0", "8", "20"])
def test_nothing_of_the_scale_is_cut(age: str, page: Any, hand: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.fill("#years", age)
    read(page, hand, "F")
    page.wait_for_selector(".months", timeout=SECONDS)
    scale = page.locator(".scale svg").bounding_box()
    for text in page.locator(".scale text").all():
        box = text.bounding_box()
        assert box["x"] >= scale["x"]
        assert box["x"] + box["width"] <= scale["x"] + scale["width"]
        assert box["y"] >= scale["y"]
        assert box["y"] + box["height"] <= scale["y"] + scale["height"]


def test_another_child_has_no_sex_yet(page: Any, hand: Path) -> None:
    page.fill("#years", "8")
    read(page, hand, "F")
    page.wait_for_selector(".months", timeout=SECONDS)
    page.click("#another")
    assert page.locator("input[name=sex]:checked").count() == 0
    assert page.input_value("#years") == ""


def test_a_refusal_is_in_plain_words(page: Any, tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    grey.write_bytes(encode(np.full((300, 200), 90, np.uint8)))
    read(page, grey, "F")
    page.wait_for_selector(".banner", timeout=SECONDS)
    said = page.inner_text("#answer")
    assert "Radiograph rejected." in said
    assert "All pixels have nearly the same grey level." in said
    assert page.locator(".months").count() == 0
    assert page.locator("#overlay > *").count() == 0


def test_a_refusal_shows_what_was_found(page: Any, tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(encode(draw_phantom(120, 1, height=800, width=640)[:500]))
    read(page, cut, "F")
    page.wait_for_selector(".banner", timeout=SECONDS)
    assert page.locator("#overlay path").count() >= 1
    assert page.locator("#overlay circle").count() == len(POINTS)
    assert "what was detected as the hand" in page.inner_text("#legend")
    assert not page.is_visible("#heat-tool")


def test_the_keyboard_is_enough(page: Any, hand: Path) -> None:
    choosers: list[Any] = []

    def note(chooser: Any) -> None:
        choosers.append(chooser)

    page.on("filechooser", note)  # before any key, or it comes too late
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Enter")
    for _ in range(600):
        if choosers:
            break
        page.wait_for_timeout(50)
    choosers[0].set_files(hand)
    for _ in range(6):  # past the outline and the buttons
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "sex":
            break
    page.keyboard.press("ArrowRight")
    assert page.is_checked("input[value=M]")
    page.keyboard.press("Tab")
    page.keyboard.type("9")
    page.keyboard.press("Enter")
    page.wait_for_selector(".months", timeout=SECONDS)
    assert page.evaluate("document.activeElement.id") == "answer"
    assert "9 y 0 m" in page.inner_text("#answer")


def test_the_sample_and_the_way_back(page: Any) -> None:
    page.click("#sample")
    page.wait_for_selector("#synthetic:has-text('This is a synthetic radiograph')")
    page.check("input[value=F]", force=True)
    page.click("#read")
    page.wait_for_selector(".banner", timeout=SECONDS)
    assert "may be wrong by years" in page.inner_text("#answer")
    page.click("#another")
    assert page.inner_text("#synthetic") == ""
    assert page.is_visible("#drop")
    assert page.locator("#answer > *").count() == 0


def test_report_and_json_are_saved_with_the_file_s_name(
    page: Any, hand: Path, tmp_path: Path
) -> None:
    chosen = tmp_path / "7 é<b>$1.second.png"
    chosen.write_bytes(hand.read_bytes())
    sent: list[str] = []
    page.on("request", lambda one: sent.append(f"{one.url} {one.headers}"))
    read(page, chosen, "M")
    page.wait_for_selector(".months", timeout=SECONDS)
    day = page.evaluate("new Date().toLocaleDateString('sv')")
    for name, ending in (("Save as JSON", "json"), ("Save the report", "html")):
        with page.expect_download(timeout=SECONDS) as saved:
            page.click(f"text={name}")
        assert saved.value.suggested_filename == f"7_é_b__1.second-bone-age-{day}.{ending}"
        saved.value.save_as(tmp_path / f"saved.{ending}")
    row = json.loads((tmp_path / "saved.json").read_text())
    assert (row["file"], row["id"], row["sex"]) == (chosen.name, "7_é_b__1.second", "M")
    assert row["read_at"].startswith("20")
    assert row["model"].keys() == {"name", "version", "manifest_sha256", "fingerprint"}
    assert (row["model"]["name"], row["bone_age_tf"]) == ("bone_age", __version__)
    report = (tmp_path / "saved.html").read_text()
    assert "<title>Bone age: 7_é_b__1.second</title>" in report
    assert report.count(">7_é_b__1.second<") == 2
    assert not any("second" in one for one in sent)


@pytest.mark.parametrize("width", [360, 820, 1400])
@pytest.mark.parametrize("name", ["hand", "dicom"])
def test_nothing_sticks_out(
    width: int, name: str, page: Any, request: pytest.FixtureRequest
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.fill("#years", "8")
    path = request.getfixturevalue(name)
    if name == "dicom":
        open_dicom(page, path)
    else:
        page.set_input_files("#file", path)
    page.check("input[value=F]", force=True)
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#radiograph").bounding_box()
    drawn = page.locator("#overlay").bounding_box()
    for side in ("x", "y", "width", "height"):
        assert drawn[side] == pytest.approx(box[side], abs=1)


# === DICOM ===


def dicom_file(folder: Path, **attributes: Any) -> Path:
    """A girl of ten years, 12 bits, white stored as 0; without an ending, and with a child's name."""
    pixels = 4095 - (draw_phantom(120, 1).astype(np.uint16) << 4)
    kind = {"PhotometricInterpretation": "MONOCHROME1", "BitsStored": 12, "HighBit": 11}
    path = folder / "DOE^JANE"
    path.write_bytes(dicom_of(pixels.astype(np.uint16), **kind | attributes))
    return path


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    return dicom_file(tmp_path)


def open_dicom(page: Any, path: Path) -> None:
    page.set_input_files("#file", path)
    page.wait_for_selector("#header:not([hidden])", timeout=SECONDS)
    page.wait_for_selector("#radiograph[src^='data:image/jpeg']", timeout=SECONDS)
    page.wait_for_timeout(
        100
    )  # a picture in its own address is decoded at once, but not in the same task


def test_a_dicom_file_is_shown_and_fills_the_form(page: Any, dicom: Path, tmp_path: Path) -> None:
    open_dicom(page, dicom)
    said = page.inner_text("#header dl").split("\n")
    assert said == ["Sex", "girl", "Age at study", "10 y 0 m", "Hand", "left", "View", "PA"]
    assert page.is_checked("input[value=F]")
    assert (page.input_value("#years"), page.input_value("#months")) == ("10", "0")
    assert page.evaluate("document.getElementById('radiograph').naturalWidth") == 260
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)
    assert "for a girl" in page.inner_text("#answer")
    assert page.locator("#answer .banner").count() == 0
    assert page.locator("#overlay circle").count() == len(POINTS)
    for name, ending in (("Save as JSON", "json"), ("Save the report", "html")):
        with page.expect_download(timeout=SECONDS) as saved:
            page.click(f"text={name}")
        assert saved.value.suggested_filename.startswith("radiograph-bone-age-")
        saved.value.save_as(tmp_path / f"saved.{ending}")
        text = (tmp_path / f"saved.{ending}").read_text()
        assert "DOE^JANE" not in text
        assert "Canary^Name" not in text


def test_a_person_corrects_the_header(page: Any, dicom: Path) -> None:
    open_dicom(page, dicom)
    page.check("input[value=M]", force=True)
    page.fill("#years", "8")
    assert page.inner_text("#header-sex") == "girl (not used)"
    assert page.inner_text("#header-age") == "10 y 0 m (not used)"
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)
    answer = page.inner_text("#answer")
    assert "for a boy" in answer
    assert "chronological age of 8 y 0 m" in answer
    assert (
        "The sex that was given is not that of the header; the result has the one that was used."
        in answer
    )
    page.check("input[value=F]", force=True)
    page.fill("#years", "10")
    assert "(not used)" not in page.inner_text("#header")


def test_a_header_does_not_overwrite_what_was_entered(page: Any, dicom: Path) -> None:
    page.check("input[value=M]", force=True)
    page.fill("#months", "100")
    open_dicom(page, dicom)
    assert page.is_checked("input[value=M]")
    assert (page.input_value("#years"), page.input_value("#months")) == ("", "100")
    assert page.inner_text("#header-sex") == "girl (not used)"


def test_warnings_of_a_header_are_said_once(page: Any, tmp_path: Path) -> None:
    odd = {"ImageLaterality": "R", "BurnedInAnnotation": "YES", "PatientSex": "O"}
    open_dicom(page, dicom_file(tmp_path, **odd))
    said = page.locator("#header-warnings li").all_inner_texts()
    assert len(said) == 3
    assert page.locator("input[name=sex]:checked").count() == 0
    page.check("input[value=unknown]", force=True)
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)
    assert not set(said) & set(page.locator("#answer .banner").all_inner_texts())


def test_a_dicom_file_that_is_no_hand_is_refused_as_it_is_opened(page: Any, tmp_path: Path) -> None:
    page.set_input_files("#file", dicom_file(tmp_path, BodyPartExamined="CHEST"))
    page.wait_for_selector(".banner", timeout=SECONDS)
    assert "another body part (chest)" in page.inner_text("#answer")
    assert page.inner_text("#no-picture") == "No picture."
    assert not page.is_visible("#header")
    assert not page.is_visible("#view")


def test_nothing_of_a_header_stays_for_another_file(page: Any, dicom: Path, hand: Path) -> None:
    open_dicom(page, dicom)
    page.set_input_files("#file", hand)
    assert not page.is_visible("#header")
    assert page.locator("input[name=sex]:checked").count() == 0
    page.check("input[value=M]", force=True)
    page.click("#read")
    page.wait_for_selector(".months", timeout=SECONDS)
    open_dicom(page, dicom)
    page.click("#another")
    assert not page.is_visible("#header")
    assert page.is_visible("#drop")
