"""The page of a tune: its content, and its behaviour in a browser if one is installed."""

import base64
import hashlib
import html
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from test_plots import lightness

from midi import Beats
from midi.pitches import pitch_name
from midi.utils import midiread
from rnn4music.render import html as page
from rnn4music.render.tune import Tune, write_page

HOSTILE = '</title></script><script>window.hacked=1</script><img src=x onerror="hacked=2">\'&amp;'
METADATA = {
    "seed": 7,
    HOSTILE + "name": HOSTILE + "value",
    HOSTILE + "heading": {"sampling": "systematic", HOSTILE + "in it": HOSTILE + "too"},
}
STEP = 0.1


def a_tune(title=HOSTILE):
    """Return a tune of 6 seconds with a start and probabilities, and no silent step."""
    rng = np.random.default_rng(3)
    start, roll = np.zeros((8, 88)), np.zeros((60, 88))
    start[2:5, 30] = 1
    roll[np.arange(60), 36 + np.arange(60) // 4] = 1
    roll[20:50, 60] = 1
    probabilities = np.clip(roll * 0.8 + rng.random(roll.shape) * 0.04, 0, 1)
    return Tune(roll, STEP, start=start, probabilities=probabilities, title=title)


def recordings(*tunes):
    return [page.Recording(tune, b"sound", b"midi") for tune in tunes]


def silent(**changes):
    return Tune(np.zeros((4, 88)), **changes)


# ---- content


def test_a_page_is_deterministic_and_loads_nothing():
    document = page.page(recordings(a_tune()), METADATA)
    assert document == page.page(recordings(a_tune()), METADATA)
    assert "{{" not in document and "<!-- tune" not in document
    addresses = re.findall(r'(?:src|href|srcset|action)="([^"]*)"', document)
    assert len(addresses) == 3 and all(address.startswith("data:") for address in addresses)
    assert not re.search(r"https?:|@import|url\(|\bstyle=|\bon[a-z]+=\"", without_text(document))


def without_text(document):
    return document.replace(html.escape(HOSTILE), "")


def test_the_policy_allows_only_the_style_sheet_and_the_script():
    document = page.page(recordings(a_tune()))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', document)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == rules["media-src"] == "data:"
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", document, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_user_text_is_escaped_and_never_filled_in():
    title = "{{script}} {{metadata}} \udcff <b>"
    document = page.page(recordings(a_tune(), a_tune(title)), METADATA, title="<i>")
    assert "<script>window" not in document and "<img" not in document and "<b>" not in document
    assert "<title>&lt;i&gt;</title>" in document
    assert '<h2 id="tune-2">{{script}} {{metadata}} ? &lt;b&gt;</h2>' in document
    assert document.count(html.escape(HOSTILE)) > 8
    document.encode("utf-8")


def test_the_script_reads_only_numbers():
    tune = a_tune()
    document = page.page(recordings(tune))
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', document)
    data = json.loads(data)
    assert set(re.sub(r'"\w+":', "", json.dumps(data["notes"]))) <= set("0123456789-, []")
    assert (data["step"], data["steps"], data["given"]) == (STEP, 60, 8)
    notes = np.reshape(data["notes"], (-1, 3))
    roll = np.zeros((68, 128))
    for pitch, start, length in notes:
        assert not roll[start + 8 : start + 8 + length, pitch].any()
        roll[start + 8 : start + 8 + length, pitch] = 1
    np.testing.assert_array_equal(roll[:, 21:109], np.vstack([tune.start, tune.roll]))
    assert (np.diff(notes[:, 1]) >= 0).all()
    cells = np.frombuffer(base64.b64decode(data["probabilities"]), np.uint8).reshape(60, -1)
    in_view = tune.probabilities[:, data["low"] - 21 : data["high"] - 20]
    np.testing.assert_allclose(cells / 255, in_view, rtol=0, atol=0.5 / 255 + 1e-9)


def test_the_lowest_and_highest_midi_pitches_are_drawn():
    roll = np.zeros((3, 128))
    roll[0, 0] = roll[2, 127] = 1
    document = page.page(recordings(Tune(roll, lowest_pitch=0, probabilities=roll)))
    assert '"low":0,"high":127,"notes":[0,0,1,127,2,1]' in document


def test_facts():
    assert page.facts(a_tune()) == (
        "16 notes from A3 to A5 in 6.0 seconds: 60 steps of 0.1\N{NO-BREAK SPACE}s, "
        "after a given start of 8 steps."
    )
    roll = np.zeros((1, 88))
    assert page.facts(Tune(roll, 0.25)).startswith("Silence in 0.2 seconds: 1 step of 0.25")
    roll[0, 40] = 1
    assert page.facts(Tune(roll)).startswith(f"1 note on {pitch_name(61)} in 0.3 seconds")


def with_beats(**changes):
    """Return a tune in 3/8 whose start of 8 steps begins with an upbeat of a step."""
    beats = Beats(2, 300.0, (3, 8), first_step=2)
    return replace(a_tune("Beats"), beats=beats, **changes)


def test_facts_name_the_metre_and_the_tempo():
    assert page.facts(with_beats()).endswith(
        "60 steps of 0.1\N{NO-BREAK SPACE}s, in 3/8 at 300 quarter notes per minute, after a given "
        "start of 8 steps."
    )


def test_the_script_reads_the_bars():
    def numbers(tune):
        (data,) = re.findall(r'json">(.*?)</script>', page.page(recordings(tune)))
        data = json.loads(data)
        return data["bar"], data["counts"], data["firstStep"]

    assert numbers(with_beats()) == (3, 3, 2)
    assert numbers(replace(a_tune(), beats=Beats(1, 600.0, (3, 8), first_step=1))) == (1.5, 3, 1)
    assert numbers(replace(a_tune(), beats=Beats(1, 600.0, (6, 8)))) == (3, 2, 0)
    assert numbers(a_tune()) == (0, 0, 0)


def test_the_picture_has_bar_lines():
    (lines,) = re.findall(r'<path d="([^"]*)" stroke', page.picture(with_beats()))
    assert [float(x) for x in re.findall(r"M(-?[\d.]+) 0v", lines)] == list(range(-7, 60, 3))
    assert not re.search(r"M-?[\d.]+ 0v", page.picture(a_tune()))


def with_onsets():
    """Return a tune of struck eighths under a note that is held over from the start."""
    start, roll = np.zeros((8, 2, 88)), np.zeros((60, 2, 88))
    start[4:, 0, 40] = start[4, 1, 40] = roll[:30, 0, 40] = 1
    roll[:, 0, 44] = roll[::2, 1, 44] = 1
    rolls = {"start": start.reshape(8, -1), "roll": roll.reshape(60, -1)}
    return replace(a_tune("Onsets"), **rolls, probabilities=rolls["roll"] / 2, onsets=True)


def test_a_note_struck_again_is_a_new_note_with_a_head():
    tune = with_onsets()
    (data,) = re.findall(
        r'<script type="application/json">(.*?)</script>', page.page(recordings(tune))
    )
    data = json.loads(data)
    eighths = [[65, step, 2] for step in range(0, 60, 2)]
    notes = np.reshape(data["notes"], (-1, 3)).tolist()
    assert notes == [[61, -4, 4], [61, 0, 30], *eighths]
    heads = np.reshape(data["heads"], (-1, 2)).tolist()
    assert heads == [[61, -4], *([pitch, step] for pitch, step, _ in eighths)]
    assert len(base64.b64decode(data["probabilities"])) == 60 * (data["high"] - data["low"] + 1)
    assert page.facts(tune).startswith("31 notes from C#4 to F4")

    drawn = re.findall(r'<path d="([^"]*)" fill="([^"]*)"', page.picture(tune))
    assert [(outlines.count("M"), colour) for outlines, colour in drawn] == [
        (1, "#a8772c"), (31, "currentColor"), (1, "#a8772c"), (30, "currentColor"),
    ]  # fmt: skip
    assert page.picture(tune).count('fill-opacity="0.65"') == 2  # paler than their heads
    held = Tune(tune.roll[:, :88], STEP)
    assert page.picture(held).count(" fill=") == 2 and "fill-opacity" not in page.picture(held)
    assert '"heads":[]' in page.page(recordings(held))


def test_metadata_are_listed_under_their_headings():
    document = page.page(recordings(silent()), {"Model": {"units": 200}, "seed": 7})
    lists = document[document.index("How it was made") :]
    assert lists.index("<dt>seed</dt><dd>7</dd>") < lists.index("<h3>Model</h3>")
    assert lists.index("<h3>Model</h3>") < lists.index("<dt>units</dt><dd>200</dd>")
    assert "How it was made" not in page.page(recordings(silent()))


def test_downloads_have_distinct_names():
    def names(*titles):
        document = page.page(recordings(*(silent(title=title) for title in titles)))
        return re.findall(r'download="([^"]*)"', document)

    assert names("../Für Élise: 1/2\n") == ["Für-Élise-1-2.mid"]
    assert names("") == names("//") == ["tune.mid"]
    assert names("A", "A", "") == ["A-1.mid", "A-2.mid", "tune-3.mid"]
    assert names("x" * 500) == ["x" * 60 + ".mid"]


# ---- in a browser


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    a_tune().write_page(folder / "one.html", METADATA)
    write_page(folder / "two.html", [a_tune("First"), a_tune("Second")])
    replace(a_tune(), with_start=True).write_page(folder / "whole.html")
    replace(a_tune("Alone"), start=None).write_page(folder / "without.html")
    with_onsets().write_page(folder / "onsets.html")
    with_beats().write_page(folder / "beats.html")
    return folder


def opening(browser, path, width=1000, scheme="light", motion="no-preference"):
    """Open a page `width` CSS pixels wide on a screen with two dots per pixel."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": width < 500},
    )
    features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
    features = [{"name": name, "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(path.as_uri())
    until(browser, "document.querySelector('audio').readyState >= 1")


@pytest.fixture
def opened(browser, files):
    """Open a page; afterwards, assert that it logged and fetched nothing."""

    def open_(name="one.html", **how):
        opening(browser, files / name, **how)
        return browser

    browser.get_log("browser")
    yield open_
    assert browser.get_log("browser") == []
    fetched = js(browser, "performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []


def js(browser, expression):
    return browser.execute_script(f"return {expression}")


def wait(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 30, poll_frequency=0.05).until(lambda _: condition())


def until(browser, expression):
    wait(browser, lambda: js(browser, expression))


def pixels(browser, colour, rows):
    """Return the canvas columns with the page's `colour` among `rows`, in CSS pixels."""
    columns = browser.execute_script(
        """
        const [name, first, last] = arguments, canvas = document.querySelector("canvas");
        const style = getComputedStyle(document.documentElement);
        const ink = style.getPropertyValue(name).match(/\\w\\w/g).map((x) => parseInt(x, 16));
        const copy = document.createElement("canvas");  // reading the original slows it
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const context = copy.getContext("2d", { willReadFrequently: true });
        context.drawImage(canvas, 0, 0);
        const data = context.getImageData(0, 2 * first, copy.width, 2 * (last - first)).data;
        const found = new Set();
        for (let k = 0; k < data.length / 4; k++) {
            if (ink.every((value, j) => data[4 * k + j] === value)) found.add(k % copy.width);
        }
        return [...found];
        """,
        f"--{colour}",
        *rows,
    )
    return np.sort(columns) / 2


def playhead(browser):
    """Return the x of the playhead, from the dot at its top; None if it is not in view."""
    columns = pixels(browser, "playhead", (9, 11))
    return (columns[0] + columns[-1]) / 2 if len(columns) else None


def press(browser, *keys):
    """Press keys on the roll, wait for the player to seek, and return its time."""
    browser.find_element("css selector", "canvas").send_keys(*keys)
    until(browser, "!document.querySelector('audio').seeking")
    return js(browser, "document.querySelector('audio').currentTime")


def test_the_playhead_moves_with_the_sound(opened):
    browser = opened()
    assert js(browser, "document.querySelector('audio').duration") == pytest.approx(6.8, abs=0.1)
    beginning = playhead(browser)
    picture = js(browser, "document.querySelector('canvas').toDataURL()")
    browser.execute_script("document.querySelector('audio').play()")
    until(browser, "document.querySelector('audio').currentTime > 1.9")
    browser.execute_script("document.querySelector('audio').pause()")
    until(browser, "document.querySelector('canvas').ariaValueNow > 1.8")
    assert js(browser, "document.querySelector('audio').error") is None
    assert js(browser, "document.querySelector('canvas').toDataURL()") != picture
    now = js(browser, "document.querySelector('audio').currentTime")
    middle = playhead(browser)
    assert press(browser, "\ue010") == pytest.approx(6.8, abs=0.05)  # End
    ending = playhead(browser)
    assert middle == pytest.approx(beginning + (ending - beginning) * (now - 0.8) / 6, abs=1)
    assert beginning < middle < ending


def test_sounding_notes_are_highlighted_while_the_sound_plays(opened):
    browser = opened()
    roll = (20, 250)
    assert not len(pixels(browser, "sounding", roll))
    press(browser, " ")
    positions = []
    for second in (1, 1.3, 1.6):
        until(browser, f"document.querySelector('audio').currentTime > {second}")
        positions.append(playhead(browser))
    assert positions == sorted(set(positions))
    assert not js(browser, "document.querySelector('audio').paused")
    lit = pixels(browser, "sounding", roll)
    assert len(lit) and lit[0] <= playhead(browser) + 1
    press(browser, " ")
    assert js(browser, "document.querySelector('audio').paused")


def test_struck_notes_have_heads(opened):
    row = (30, 150)  # below the labels, above the probabilities
    browser = opened("without.html")
    assert not len(pixels(browser, "ink", row))
    assert "struck" not in browser.find_element("css selector", ".legend").text
    opened("onsets.html")
    assert "struck" in browser.find_element("css selector", ".legend").text
    heads = pixels(browser, "ink", row)
    first = np.flatnonzero(np.diff(heads, prepend=-9) > 1)
    assert len(first) == 31  # thirty eighths, and the note of the start
    step = (heads[first[-1]] - heads[first[1]]) / 58
    np.testing.assert_allclose(np.diff(heads[first[1:]]), 2 * step, atol=1)
    assert heads[first[1]] == pytest.approx(playhead(browser), abs=2)
    assert heads[first[0]] == pytest.approx(playhead(browser) - 4 * step, abs=2)


def test_keys_and_clicks_on_the_roll_seek(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    assert press(browser, Keys.ARROW_RIGHT) == pytest.approx(1.8, abs=0.01)
    assert press(browser, Keys.ARROW_RIGHT) == pytest.approx(2.8, abs=0.01)
    assert press(browser, Keys.ARROW_LEFT) == pytest.approx(1.8, abs=0.01)
    assert press(browser, Keys.PAGE_UP) == pytest.approx(6.8, abs=0.05)  # ten seconds, at most
    assert press(browser, Keys.HOME) == 0
    slider = browser.find_element("css selector", "canvas")
    beginning = playhead(browser)
    press(browser, Keys.END)
    assert slider.get_attribute("aria-valuenow") == "6.8"
    assert slider.get_attribute("aria-valuetext") == "7 of 7 seconds"
    ending = playhead(browser)
    x = (beginning + ending) / 2 - slider.size["width"] / 2  # from the centre of the canvas
    ActionChains(browser).move_to_element_with_offset(slider, round(x), 0).click().perform()
    until(browser, "!document.querySelector('audio').seeking")
    time = js(browser, "document.querySelector('audio').currentTime")
    assert time == pytest.approx(3.4, abs=0.02)


TIME = "document.querySelector('audio').currentTime"


def test_the_start_is_labelled_given_and_is_played_only_on_request(opened):
    from selenium.webdriver.common.keys import Keys

    browser = opened()
    assert "after a given start of 8 steps" in browser.find_element("css selector", ".facts").text
    shown = browser.find_element("css selector", ".legend").text
    assert "given start" in shown and "composed" in shown
    until(browser, f"{TIME} > 0")
    assert js(browser, TIME) == pytest.approx(0.8, abs=0.01)  # where the composed part begins
    border = playhead(browser)
    colours = {name: pixels(browser, name, (20, 290)) for name in ("given", "note")}
    assert colours["given"].max() <= border + 1 and colours["note"].min() >= border - 1
    assert len(pixels(browser, "given", (2, 14))) and len(
        pixels(browser, "note", (2, 14))
    )  # labels

    switch = "document.querySelector('.play-start')"
    browser.execute_script(f"{switch}.click()")
    until(browser, f"{TIME} === 0")
    assert not len(pixels(browser, "sounding", (20, 290)))
    browser.execute_script("document.querySelector('audio').currentTime = 0.3")
    until(browser, "!document.querySelector('audio').seeking")
    wait(browser, lambda: len(pixels(browser, "sounding", (20, 290))))  # its notes sound, too
    assert "in the given start" in js(browser, "document.querySelector('canvas').ariaValueText")
    browser.execute_script(f"{switch}.click()")
    wait(browser, lambda: js(browser, TIME) == pytest.approx(0.8, abs=0.01))
    press(browser, Keys.ARROW_RIGHT)
    browser.execute_script(f"{switch}.click()")  # does not interrupt the composed part
    assert press(browser, Keys.ARROW_RIGHT) == pytest.approx(2.8, abs=0.01)


def test_after_the_end_the_composed_part_is_played_again(opened):
    browser = opened()
    browser.execute_script(
        "const audio = document.querySelector('audio'); audio.currentTime = 6.6; audio.play()"
    )
    wait(browser, lambda: js(browser, TIME) == pytest.approx(0.8, abs=0.01))
    assert js(browser, "document.querySelector('audio').paused")
    press(browser, " ")
    until(browser, f"{TIME} > 1")


def test_with_start_the_page_plays_from_the_start(opened):
    browser = opened("whole.html")
    assert js(browser, "document.querySelector('.play-start').checked")
    assert js(browser, TIME) == 0


def test_without_a_start_nothing_is_called_given(opened):
    browser = opened("without.html")
    assert js(browser, TIME) == 0
    assert "given" not in browser.find_element("css selector", "main").text
    assert not len(pixels(browser, "given", (0, 250)))


def test_the_downloaded_file_is_the_tune(opened):
    browser = opened()
    link = browser.find_element("css selector", "a.download")
    name = link.get_attribute("download")
    content = base64.b64decode(link.get_attribute("href").split(",")[1])
    link.click()
    path = browser.downloads / name
    wait(browser, lambda: path.exists() and path.stat().st_size)
    assert path.read_bytes() == content
    np.testing.assert_array_equal(midiread(path, (21, 109), STEP).piano_roll, a_tune().roll)


def test_hostile_text_is_shown_as_text(opened):
    browser = opened()
    assert js(browser, "document.title") == HOSTILE
    assert js(browser, "document.querySelector('h1').textContent") == HOSTILE
    assert js(browser, "typeof window.hacked") == "undefined"
    assert js(browser, "document.images.length") == 0
    assert js(browser, "document.scripts.length") == 2
    shown = js(browser, "[...document.querySelectorAll('dt, dd, h3')].map((e) => e.textContent)")
    assert shown == [
        "seed", "7", HOSTILE + "name", HOSTILE + "value", HOSTILE + "heading",
        "sampling", "systematic", HOSTILE + "in it", HOSTILE + "too",
    ]  # fmt: skip
    assert HOSTILE in js(browser, "document.querySelector('audio').ariaLabel")


def contrasts(browser):
    """Return the contrast of each visible text and swatch, and the lightness of the paper."""
    return browser.execute_script("""
        const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = (colour) => {
            const [r, g, b] = numbers(colour).map((x) => x / 255)
                .map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const ratio = (a, b) => {
            const [dark, bright] = [light(a), light(b)].sort((x, y) => x - y);
            return (bright + 0.05) / (dark + 0.05);
        };
        const ground = (element) => {
            const colour = getComputedStyle(element).backgroundColor;
            const isThere = numbers(colour)[3] !== 0;
            return isThere ? colour : ground(element.parentElement);
        };
        const hasText = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        const texts = [...document.body.querySelectorAll("*")].filter((e) =>
            hasText(e) && e.checkVisibility() && !["SCRIPT", "STYLE"].includes(e.tagName));
        const swatches = [...document.querySelectorAll("i.note, i.given, i.sounding")];
        return {
            text: texts.map((e) => ratio(getComputedStyle(e).color, ground(e))),
            notes: swatches.map((e) => ratio(ground(e), ground(e.parentElement))),
            paper: light(ground(document.body)),
        };
    """)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_in_both_schemes(opened, scheme):
    browser = opened(scheme=scheme)
    ratios = contrasts(browser)
    assert len(ratios["text"]) > 15 and min(ratios["text"]) >= 4.5
    assert len(ratios["notes"]) == 3 and min(ratios["notes"]) >= 3
    assert (ratios["paper"] > 0.5) is (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_higher_probability_always_has_more_contrast(opened, scheme):
    browser = opened(scheme=scheme)
    ramp = browser.execute_script("""
        const style = getComputedStyle(document.querySelector("i.scale")).backgroundImage;
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [256, 1];
        const context = canvas.getContext("2d"), ramp = context.createLinearGradient(0, 0, 256, 0);
        style.match(/rgb\\([^)]*\\)/g).forEach((c, k) => ramp.addColorStop([0, 0.3, 1][k], c));
        context.fillStyle = ramp;
        context.fillRect(0, 0, 256, 1);
        return [...context.getImageData(0, 0, 256, 1).data];
    """)
    levels = [lightness(*rgb) for rgb in np.reshape(ramp, (256, 4))[::8, :3] / 255]
    steps = np.diff(levels) if scheme == "dark" else -np.diff(levels)
    assert steps.min() > 1 and steps.max() < 2.5 * steps.min()


def test_the_roll_is_redrawn_when_the_colour_scheme_changes(opened):
    browser = opened()
    width = js(browser, "document.querySelector('canvas').clientWidth")
    assert len(pixels(browser, "note", (20, 250))) > width / 2
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    wait(browser, lambda: len(pixels(browser, "note", (20, 250))) > width / 2)
    assert len(pixels(browser, "surface", (0, 2))) > width / 2


@pytest.mark.parametrize("name", ["one.html", "two.html"])
def test_a_phone_scrolls_the_roll_and_not_the_page(opened, name):
    from selenium.webdriver.common.keys import Keys

    browser = opened(name, width=360)
    assert js(browser, "innerWidth") == 360
    assert js(browser, "document.scrollingElement.scrollWidth") <= 360
    assert js(browser, "document.querySelector('canvas').width") == 2 * js(
        browser, "document.querySelector('.scroller').clientWidth"
    )
    place = "document.querySelector('.scroller').scrollLeft"
    assert playhead(browser) is not None
    press(browser, Keys.END)
    assert js(browser, place) > 30
    width = js(browser, "document.querySelector('canvas').clientWidth")
    assert 38 <= playhead(browser) <= width
    browser.execute_script("document.querySelector('.scroller').scrollLeft = 0")
    wait(browser, lambda: playhead(browser) is None)  # scrolling by hand stops following
    press(browser, Keys.ARROW_LEFT)
    assert 38 <= playhead(browser) <= width
    browser.execute_script("document.querySelector('.show-whole').click()")
    assert js(browser, place) == 0 and 38 <= playhead(browser) <= width


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_the_roll_scrolls_smoothly_unless_reduced_motion_is_preferred(opened, motion):
    browser = opened(width=360, motion=motion)
    place = "document.querySelector('.scroller').scrollLeft"
    browser.execute_script("document.querySelector('audio').currentTime = 1.5")
    until(browser, "!document.querySelector('audio').seeking")
    before = js(browser, place)
    press(browser, " ")
    until(browser, "document.querySelector('audio').currentTime > 2")
    press(browser, " ")
    assert (js(browser, place) == before) is (motion == "reduce")
    assert 38 <= playhead(browser)


def test_seconds_and_octaves_are_labelled(opened):
    browser = opened()
    width, height = (js(browser, f"document.querySelector('canvas').client{side}")
                     for side in ("Width", "Height"))  # fmt: skip
    seconds = pixels(browser, "muted", (height - 26, height))
    assert seconds[0] < 60 and seconds[-1] > width - 60
    octaves = pixels(browser, "muted", (20, height - 40))
    assert (octaves < 38).any()


def position(browser):
    return js(browser, "document.querySelector('.position').textContent")


def test_the_position_is_shown_as_bar_and_beat(opened):
    """The sound begins with an eighth of upbeat; a bar has three eighths of 0.1 s."""
    browser = opened("beats.html")
    assert position(browser) == "bar 3, beat 2 · 0.8 s"  # at the first composed step
    for second, expected in (
        (0, "bar 0, beat 3 · 0.0 s"),
        (0.1, "bar 1, beat 1 · 0.1 s"),
        (0.39, "bar 1, beat 3 · 0.4 s"),
        (0.4, "bar 2, beat 1 · 0.4 s"),
    ):
        browser.execute_script(f"document.querySelector('audio').currentTime = {second}")
        until(browser, "!document.querySelector('audio').seeking")
        assert position(browser) == expected
    press(browser, "\ue010")  # End
    assert position(browser) == "bar 23, beat 1 · 6.8 s"
    spoken = js(browser, "document.querySelector('canvas').ariaValueText")
    assert spoken == "bar 23, beat 1, 7 of 7 seconds"
    opened()
    assert not js(browser, "document.querySelector('.position').checkVisibility()")
    assert "bar" not in js(browser, "document.querySelector('canvas').ariaValueText")


def test_bars_are_lines_and_have_numbers(opened):
    browser = opened("beats.html")
    end = js(browser, "document.querySelector('canvas').clientWidth") - 12
    step = (end - 38) / 68
    data = js(browser, "JSON.parse(document.querySelector('.tune script').textContent)")
    n_pitches = data["high"] - data["low"] + 1
    bottom = 16 + n_pitches * min(9, round(290 / n_pitches))  # of the roll
    between = (bottom + 2, bottom + 10)  # the roll and the probabilities
    lines = pixels(browser, "bar", between)
    lines = lines[np.flatnonzero(np.diff(lines, prepend=-9) > 2)]
    np.testing.assert_allclose(lines, 38 + step * np.arange(1, 68, 3), atol=1)
    beats = pixels(browser, "line", between)
    beats = beats[np.flatnonzero(np.diff(beats, prepend=-9) > 2)]
    counted = [k for k in range(68) if k % 3 != 1 and k != 8]  # at 8 the start ends
    np.testing.assert_allclose(beats, 38 + step * np.array(counted), atol=1)
    height = js(browser, "document.querySelector('canvas').clientHeight")
    numbers = pixels(browser, "ink", (height - 42, height - 24))
    assert abs(numbers[0] - lines[0]) < 8 and abs(numbers[-1] - lines[-1]) < 12
    opened()
    assert not len(pixels(browser, "bar", between))


def test_the_probabilities_can_be_hidden(opened):
    browser = opened()
    height = js(browser, "document.querySelector('canvas').clientHeight")
    browser.execute_script("document.querySelector('.show-probabilities').click()")
    assert js(browser, "document.querySelector('canvas').clientHeight") < height - 50
    hidden = js(browser, "document.querySelector('.is-long').hidden")
    assert hidden  # the whole tune fits this width


def test_focusable_elements_have_names_and_are_reached_by_keyboard(opened):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = opened(width=360)
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    found = {}
    for node in nodes:
        properties = (
            {each["name"]: each["value"].get("value") for each in node["properties"]}
            if ("properties" in node)
            else {}
        )
        if properties.get("focusable") and not node["ignored"]:
            role = node["role"]["value"]
            found.setdefault(role, []).append(node["name"]["value"])
    assert all(name for names in found.values() for name in names), found
    assert found["slider"][-1] == f"Piano roll of {HOSTILE}: position in the sound"
    assert found["link"] == [f"Download {HOSTILE} as a MIDI file"]
    assert sorted(found["checkbox"]) == [
        "play the given start first",
        "probability: 0 1",
        "show the whole tune",
    ]
    assert js(browser, "document.documentElement.lang") == "en"
    reached = set()
    for _ in range(12):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.add(js(browser, "document.activeElement.tagName"))
    assert reached >= {"AUDIO", "A", "CANVAS", "INPUT"}


def test_only_one_of_two_tunes_plays(opened):
    browser = opened("two.html")
    assert js(browser, "[...document.querySelectorAll('h2')].map((e) => e.textContent)") == [
        "First", "Second",
    ]  # fmt: skip
    paused = "[...document.querySelectorAll('audio')].map((audio) => audio.paused)"
    browser.execute_script("document.querySelectorAll('audio')[0].play()")
    until(browser, "document.querySelectorAll('audio')[0].currentTime > 0.1")
    browser.execute_script("document.querySelectorAll('audio')[1].play()")
    until(browser, "document.querySelectorAll('audio')[1].currentTime > 0.1")
    assert js(browser, paused) == [True, False]


def test_without_scripts_a_picture_the_player_and_the_file_remain(opened):
    browser = opened()
    names = ("h1", ".facts", "audio", "a.download", "dl", ".still svg", ".moving")

    def visible():
        return {n for n in names if browser.find_element("css selector", n).is_displayed()}

    assert visible() == set(names) - {".still svg"}
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        assert visible() == set(names) - {".moving"}
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_the_page_cannot_fetch(opened, browser):
    opened()
    answer = browser.execute_async_script(
        "const done = arguments[0]; fetch('data:,x').then(() => done('fetched'), () => done('no'))"
    )
    assert answer == "no"
    assert all(
        "Content Security Policy" in entry["message"] for entry in browser.get_log("browser")
    )
