"""The leaderboard page in a browser: shown, sorted, filtered, opened, copied and linked."""

import os
import shutil
import statistics
import tempfile
from urllib.parse import urlsplit

import pytest

from ltzoo.report.leaderboard import leaderboard_page
from tests.report.leaderboard_document import DOCUMENT, HOSTILE, MEASURED, SEEDS, figure, row, run
from tests.report.test_leaderboard import DOCUMENTS

pytestmark = pytest.mark.slow
ENTRIES = 6
MINUS = "\u2212"
APART = {"adapted": 90.0, "other": 70.0}


@pytest.fixture(scope="module")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1300,900"):
        options.add_argument(argument)
    # A place of its own, for chromium leaves files behind; a short one, for its socket's path must be short.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        service = webdriver.ChromeService(driver, env=os.environ | {"TMPDIR": place})
        started = webdriver.Chrome(options, service)
        yield started
        started.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(leaderboard_page(DOCUMENT), encoding="utf-8")
    return path.as_uri()


class Page:
    """What a reader sees and does."""

    def __init__(self, browser, address):
        self.browser, self.address = browser, address
        self.load()

    def load(self, view=""):
        self.browser.get("about:blank")  # else a change of the part behind # would load nothing
        self.browser.get(self.address + view)

    def script(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0]).textContent", selector)

    def column(self, key):
        """The cells of a column, top to bottom."""
        at = self.script("return COLUMNS.findIndex(({ key }) => key === arguments[0])", key)
        code = "return [...document.querySelectorAll('#results > tbody > tr[data-place]')]"
        return self.script(f"{code}.map((row) => row.cells[arguments[0]].textContent)", at)

    def models(self):
        """The models shown, top to bottom."""
        code = "return [...document.querySelectorAll('#results > tbody > tr[data-place]')]"
        return self.script(f"{code}.map((row) => data.rows[row.dataset.place].model)")

    def cells(self, model):
        """A model's cells, by column."""
        at = self.models().index(model)
        return {key: self.column(key)[at] for key in self.script("return COLUMNS.map(({ key }) => key)")}

    def choose(self, name, value):
        self.one(f"[name={name}] option[value='{value}']").click()

    def sort(self, key):
        self.one(f"thead [data-key={key}] button").click()

    def sorted(self):
        """aria-sort by column, where there is one."""
        code = "return Object.fromEntries([...document.querySelectorAll('[aria-sort]')]"
        return self.script(f"{code}.map((head) => [head.dataset.key, head.ariaSort]))")

    def button(self, model, what="details"):
        return self.all(f"#results > tbody > tr[data-place='{self.place(model)}'] [data-do={what}]")[0]

    def place(self, model):
        return self.script("return data.rows.findIndex((row) => row.model === arguments[0])", model)

    def details(self, model):
        """Open a model's details; their text."""
        self.button(model).click()
        return self.text(f"#details-{self.place(model)}")

    def media(self, **features):
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": named})

    def width(self, pixels):
        size = {"width": pixels, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


@pytest.fixture
def page(browser, address):
    opened = Page(browser, address)
    yield opened
    opened.media()
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_highest_overall_accuracy_comes_first_and_blanks_last(page):
    assert page.models() == [*MEASURED, "unmeasured_a", HOSTILE]
    assert page.sorted() == {"overall": "descending"}


@pytest.mark.parametrize(
    ("key", "first", "order"),
    [
        ("overall", "ascending", MEASURED[::-1]),
        ("tail", "descending", ["elsewhere", "distant", "seeds", "single"]),
        ("difference", "descending", ["seeds", "elsewhere", "distant"]),
        ("n", "descending", ["seeds", "single", "distant", "elsewhere"]),
    ],
)
def test_numbers_sort_both_ways_with_blanks_last(key, first, order, page):
    blanks = [text for text in page.column(key) if not text]
    assert blanks
    page.sort(key)
    assert page.sorted() == {key: first}
    assert page.models()[: len(order)] == order
    assert page.column(key)[-len(blanks) :] == blanks
    page.sort(key)
    assert page.sorted() == {key: {"ascending": "descending", "descending": "ascending"}[first]}
    values = [text for text in page.column(key) if text]
    assert len(set(values)) == 1 or page.models()[: len(order)] != order
    assert page.column(key)[-len(blanks) :] == blanks


def test_text_sorts_from_a_first(page):
    page.sort("benchmark")
    assert page.sorted() == {"benchmark": "ascending"}
    assert [text.split(",")[0] for text in page.column("benchmark")] == ["Long"] * 4 + ["Step"] * 2


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("benchmark", "step", ["distant", "elsewhere"]),
        ("backbone", "resnet34_cifar", ["seeds"]),
    ],
)
def test_rows_are_filtered(name, value, left, page):
    page.choose(name, value)
    assert page.models() == left
    assert page.text("#count") == f"{len(left)} of {ENTRIES} entries"
    assert page.one("#count").get_attribute("aria-live") == "polite"
    page.one("#clear").click()
    assert len(page.models()) == ENTRIES


def test_measured_only_hides_what_nobody_has_measured(page):
    page.one("[name=measured]").click()
    assert page.models() == MEASURED


@pytest.mark.parametrize(
    ("words", "left"), [("DISTANT", ["distant"]), ("long 34", ["seeds"]), ("appendix", ["seeds"]), ("zzz", [])]
)
def test_every_word_searched_for_is_found(words, left, page):
    page.one("[name=search]").send_keys(words)
    assert page.models() == left


def test_a_click_right_after_typing_counts(page):
    page.one("[name=search]").send_keys("single")
    page.button("single").click()
    assert page.button("single").get_attribute("aria-expanded") == "true"


def test_groups_are_each_models_own_unless_one_rule_is_chosen(page):
    assert page.column("tail")[:4] == ["30.0", "40.0", "10.0", "21.0 ± 0.0"]  # seeds: thirds
    page.choose("groups", "mislas")
    assert page.column("tail")[:4] == ["30.0", "40.0", "10.0", "20.0 ± 0.0"]
    page.choose("groups", "thirds")
    assert page.column("tail")[:4] == ["31.0", "41.0", "11.0", "21.0 ± 0.0"]
    assert page.cells("single")["overall"] == "50.0"


def test_a_rule_without_a_figure_leaves_the_cells_blank(page):
    page.choose("rule", "best")
    assert page.models()[0] == "single"
    assert page.column("overall") == ["55.0", *[""] * 5]
    assert page.column("n") == ["1", *[""] * 5]
    assert "not the primary figure" in page.text("#caption")
    page.choose("rule", "last")
    assert "not the primary figure" not in page.text("#caption")


def test_seeds_give_mean_sample_deviation_and_n(page):
    cells = page.cells("seeds")
    assert cells["overall"] == f"{statistics.fmean(SEEDS):.1f} ± {statistics.stdev(SEEDS):.1f}" == "43.0 ± 3.6"
    assert cells["n"] == "3"
    assert page.cells("single")["overall"] == "50.0"


def test_measured_stands_beside_published_and_the_far_ones_are_told(page):
    shown = {model: (page.cells(model)["published"], page.cells(model)["difference"]) for model in MEASURED}
    assert shown == {
        "single": ("", ""),
        "seeds": ("44.0", f"{MINUS}1.0 far off"),  # its own limit is 0.9
        "distant": ("61.6", f"{MINUS}1.6 far off"),
        "elsewhere": ("52.8 claimed", f"{MINUS}1.5"),  # 1.5 is not more than 1.5, whatever floats say
    }
    assert page.cells("unmeasured_a")["published"] == "90.0"
    assert len(page.all(".far")) == 2


def test_details_show_published_figures_and_runs(page):
    text = page.details("seeds")
    assert 'ltzoo.create_model("seeds", pretrained=True)' in text
    for words in ("a note of its own", "rangwani2022, Table 1", "lyu2025, Appendix", "the paper's own rule", "70.0"):
        assert words in text
    tables = page.all(".more table")
    assert [len(table.find_elements("css selector", ":scope > tbody > tr")) for table in tables] == [2, 3]
    cells = [cell.text for cell in tables[1].find_elements("css selector", ":scope > tbody > tr:nth-child(2) > *")]
    assert cells == ["1", "float32", "a processor 1", "3.2", "2", "42.0", "63.0", "41.0", "21.0"]
    page.button("seeds").click()
    assert page.all(".more") == []


def test_details_without_weights_or_runs_say_so(page):
    text = page.details("unmeasured_a")
    assert "No weights are kept" in text
    assert "Not measured yet" in text
    with pytest.raises(IndexError):
        page.button("unmeasured_a", "copy")


def test_a_run_has_a_curve_and_a_picture_of_its_classes(page):
    assert page.all("svg") == []  # built only when opened
    page.details("single")
    curve, classes = page.all(".more svg")
    for picture in (curve, classes):
        named, described = (picture.get_attribute(f"aria-{word}") for word in ("labelledby", "describedby"))
        assert "Seed 0" in page.text(f"#{named}")
        assert page.text(f"#{described}")
        assert picture.get_attribute("role") == "img"
    assert "overall ends at 50.0, highest 50.0; head ends at 80.0" in page.text(".more svg desc")
    lines = curve.find_elements("css selector", "[data-series]")
    assert [line.get_attribute("data-series") for line in lines] == DOCUMENT["columns"]
    assert len({line.get_attribute("stroke-dasharray") for line in lines}) == 4  # told apart without colour
    assert [line.get_attribute("d").count("L") for line in lines] == [1, 1, 0, 1]  # mid has one point
    bars = classes.find_elements("css selector", "[data-class]")
    assert [bar.get_attribute("data-class") for bar in bars] == ["1", "2", "0", "3"]  # by training images
    heights = [float(bar.get_attribute("height")) for bar in bars]
    assert [height / heights[0] for height in heights] == pytest.approx([1, 50 / 80, 10 / 80, 10 / 80])
    shades = classes.find_elements("css selector", "[data-group]")
    assert [shade.get_attribute("data-group") for shade in shades] == ["head", "mid", "tail"]
    page.choose("groups", "thirds")
    wide = [float(shade.get_attribute("width")) for shade in page.all("[data-group]")]
    assert [width / wide[1] for width in wide] == pytest.approx([2, 1, 1])


def test_links_lead_to_what_there_is(page):
    for button in page.all("[data-do=details]"):
        button.click()
    addresses = page.script("return [...document.querySelectorAll('[href]')].map((a) => a.getAttribute('href'))")
    assert sorted(addresses) == sorted(["#results", *DOCUMENTS, "https://example.org/models?name=one"])
    assert page.all("#results")
    source = page.one(f"#details-{page.place('elsewhere')} a")
    assert source.text == source.get_attribute("href") == "https://example.org/models?name=one"


@pytest.mark.parametrize(
    ("source", "href"),
    [
        ("../hub/zoo/one/README.md#use", "../hub/zoo/one/README.md#use"),
        ("https://example.org/a", "https://example.org/a"),
        ("http://example.org/a", None),
        ("//example.org/a", None),
        ("data:text/html,a", None),
        (" javascript:alert(1)", None),
        ("java\nscript:alert(1)", None),
    ],
)
def test_a_source_is_a_link_only_to_https_or_beside_the_page(source, href, page):
    assert page.script("return link(arguments[0]).getAttribute('href')", source) == href


def test_the_skip_link_leads_to_the_table_and_keeps_the_view(page):
    page.choose("benchmark", "step")
    skip = page.one(".skip")
    page.script("arguments[0].focus()", skip)
    assert skip.rect["x"] >= 0
    skip.send_keys("\ue007")
    assert page.script("return document.activeElement.id") == "results"
    assert page.script("return location.hash") == "#benchmark=step"


@pytest.mark.parametrize("clipboard", ["undefined", "{ writeText: () => Promise.reject(new Error('denied')) }"])
def test_copying_works_without_the_clipboards_interface(clipboard, page):
    page.script(f"Object.defineProperty(navigator, 'clipboard', {{ value: {clipboard}, configurable: true }})")
    page.script("document.addEventListener('copy', () => { window.copies = document.activeElement.value; })")
    button = page.button("single", "copy")
    button.click()
    line = 'ltzoo.create_model("single", pretrained=True)'
    wait_for(page, "return document.getElementById('copied').textContent", f"copied: {line}")
    assert page.script("return window.copies") == line
    assert page.one("#copied").get_attribute("aria-live") == "polite"
    assert page.script("return document.activeElement === arguments[0]", button)
    assert page.all("textarea") == []


def test_the_clipboards_interface_is_used_where_there_is_one(page):
    code = "{ writeText: (text) => { window.written = text; return Promise.resolve(); } }"
    page.script(f"Object.defineProperty(navigator, 'clipboard', {{ value: {code}, configurable: true }})")
    page.button("distant", "copy").click()
    line = 'ltzoo.create_model("distant", pretrained=True)'
    wait_for(page, "return document.getElementById('copied').textContent", f"copied: {line}")
    assert page.script("return window.written") == line


def wait_for(page, code, expected):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page.browser, 10).until(lambda _: page.script(code) == expected, code)


def test_a_view_can_be_linked(page):
    page.choose("benchmark", "long")
    page.choose("groups", "thirds")
    page.one("[name=search]").send_keys("ing & s")
    page.one("[name=search]").clear()
    page.one("[name=search]").send_keys("s")
    page.one("[name=measured]").click()
    page.sort("tail")
    page.sort("tail")
    shown = page.models()
    assert shown == ["single", "seeds"]
    link = page.script("return location.hash")
    page.load(link)
    assert page.models() == shown
    assert page.sorted() == {"tail": "ascending"}
    assert page.one("[name=groups]").get_attribute("value") == "thirds"
    assert page.one("[name=measured]").is_selected()
    page.one("#clear").click()
    assert urlsplit(page.script("return location.href")).fragment == ""
    page.script("location.hash = arguments[0]", link)  # pasted into the address of the open page
    wait_for(page, "return document.getElementById('count').textContent", f"2 of {ENTRIES} entries")


def test_a_link_to_what_there_is_not_shows_everything(page):
    page.load("#benchmark=nowhere&rule=guess&sort=colour&dir=up&more=1")
    assert page.models() == [*MEASURED, "unmeasured_a", HOSTILE]
    assert page.one("[name=rule]").get_attribute("value") == "last"


def test_hostile_strings_stay_text(page):
    text = page.details(HOSTILE)
    assert text.count(HOSTILE) == 3  # load, note, label
    assert page.cells(HOSTILE)["model"].startswith(HOSTILE)
    page.button("single").click()  # a class has the name, too
    assert page.text("h1") == "zoo & <co>: leaderboard"
    assert page.all("img") == []
    assert page.script("return document.scripts.length") == 2
    assert page.script("return window.broken ?? null") is None


def test_what_begins_with_pretrained_weights_has_a_table_of_its_own(browser, tmp_path):
    more = [row(name, pretrained=True, runs=[run(0, figure(of, 95.0, 90.0, 80.0))]) for name, of in APART.items()]
    path = tmp_path / "apart.html"
    path.write_text(leaderboard_page(DOCUMENT | {"rows": [*DOCUMENT["rows"], *more]}), encoding="utf-8")
    page = Page(browser, path.as_uri())

    def apart():
        code = "return [...document.querySelectorAll('#pretrained > tbody > tr[data-place]')]"
        return page.script(f"{code}.map((row) => data.rows[row.dataset.place].model)")

    assert page.models()[:4] == MEASURED and apart() == ["adapted", "other"]
    assert page.text("#count") == f"{ENTRIES + 2} of {ENTRIES + 2} entries"
    page.one("#pretrained [data-key=overall] button").click()
    assert page.models()[:4] == MEASURED[::-1] and apart() == ["other", "adapted"]
    page.all("#pretrained [data-do=details]")[0].click()
    assert len(page.all("#pretrained .more")) == 1
    page.one("[name=search]").send_keys("single")
    assert page.models() == ["single"] and not page.one("#apart").is_displayed()


def test_without_pretrained_weights_there_is_one_table(page):
    assert not page.one("#apart").is_displayed()
    assert page.script("return document.querySelectorAll('#pretrained button').length") == 0


@pytest.mark.parametrize("key", ["\ue007", " "], ids=["enter", "space"])
def test_the_keyboard_sorts_and_opens(key, page):
    head = page.one("thead [data-key=head] button")
    head.send_keys(key)
    assert page.sorted() == {"head": "descending"}
    assert page.script("return document.activeElement === arguments[0]", head)
    button = page.button("seeds")
    assert button.get_attribute("aria-expanded") == "false"
    button.send_keys(key)
    assert button.get_attribute("aria-expanded") == "true"
    assert page.all(f"#{button.get_attribute('aria-controls')}")
    button.send_keys(key)
    assert button.get_attribute("aria-expanded") == "false"


def test_all_controls_and_buttons_have_names_and_tables_captions(page):
    page.details("seeds")
    for control in page.all("button, select, input"):
        assert control.accessible_name, control.get_attribute("outerHTML")
    assert all(table.find_elements("css selector", "caption") for table in page.all("table"))
    assert page.button("single").accessible_name == "details of single"


@pytest.mark.parametrize("width", [360, 700, 1000, 1280])
def test_nothing_is_wider_than_the_window(width, page):
    page.width(width)
    for model in (*MEASURED, HOSTILE):
        page.button(model).click()
    assert page.script("return document.documentElement.scrollWidth <= innerWidth")
    inside = page.script("const box = document.querySelector('.scroll'); return [box.scrollWidth, box.clientWidth]")
    assert width > 700 or inside[0] <= inside[1]  # cards need not be scrolled within either
    assert len(page.all(".more svg")) == 2 * 6


def test_a_phone_shows_cards_with_labels(page):
    page.width(360)
    code = "return getComputedStyle(document.querySelector('td[data-label=tail]'), '::before').content"
    assert page.script(code) == '"tail"'
    assert page.script("return getComputedStyle(document.querySelector('[data-place]')).display") == "grid"
    page.sort("head")  # still at hand
    assert page.sorted() == {"head": "descending"}
    assert page.one("#results > tbody > tr > td").aria_role == "cell"
    page.width(1000)
    assert page.script(code) in ("none", "normal")


CONTRASTS = """
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => parts(colour).slice(0, 3).map((part) => part / 255)
  .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
  .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
function behind(node) {
  for (let at = node; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if ((parts(colour)[3] ?? 1) === 1) return colour;
  }
}
return [...document.body.querySelectorAll("*")].filter((node) => node.getClientRects().length
    && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()))
  .map((node) => {
    const style = getComputedStyle(node);
    const [one, other] = [light(node.closest("svg") ? style.fill : style.color), light(behind(node))];
    return [(Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05), node.tagName, node.textContent.slice(0, 30)];
  });
"""


def test_light_and_dark_are_both_readable(page):
    backgrounds = []
    for scheme in ("light", "dark"):
        page.load()
        page.media(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
        page.details("seeds")
        page.details("elsewhere")
        page.script("document.getElementById('copied').textContent = 'copied'")
        backgrounds.append(page.script("return getComputedStyle(document.body).backgroundColor"))
        contrasts = page.script(CONTRASTS)
        assert {"TD", "TH", "BUTTON", "A", "CODE", "SPAN", "text", "FIGCAPTION", "P"} <= {
            tag for _, tag, _ in contrasts
        }
        assert [found for found in contrasts if found[0] < 4.5] == []
    assert backgrounds[0] != backgrounds[1]


def test_focus_is_seen(page):
    page.one("[name=benchmark]").send_keys("\ue004")
    code = "const style = getComputedStyle(document.activeElement); return [style.outlineStyle, style.outlineWidth]"
    assert page.script(code) == ["solid", "3px"]
