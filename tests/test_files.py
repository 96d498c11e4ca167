"""Tables of recipients, as programs and spreadsheets write them."""

import codecs
import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webcom_async import ClientIdSms, InputError, Outcome, Phone, SendResult
from webcom_async.audience import Audience, StopList
from webcom_async.files import CsvTable, Row, open_table, results_file

CELLS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)


def table(folder: Path, content: bytes, name: str = "file.csv", **options: str) -> tuple[object, ...]:
    """Write *content* to a file and return its columns, its rows and its detected format."""
    path = folder / name
    path.write_bytes(content)
    opened = open_table(path, **options)
    return opened.columns, [tuple(row) for row in opened.rows()], opened.described


EXCEL = "Телефон;Имя;Город\r\n8 (961) 224-22-43;Анна;Москва\r\n8 (961) 224-22-44;Пётр;«Тверь»\r\n"


@pytest.mark.parametrize(
    ("content", "described"),
    [
        (EXCEL.encode("cp1251"), "CSV, Windows-1251, semicolons"),
        (EXCEL.encode("utf-8-sig"), "CSV, UTF-8 with a mark, semicolons"),
        (EXCEL.encode(), "CSV, UTF-8, semicolons"),
        (EXCEL.replace(";", "\t").encode("utf-16"), "CSV, UTF-16, tabs"),
        (codecs.BOM_UTF16_BE + EXCEL.encode("utf-16-be"), "CSV, UTF-16, semicolons"),
        (EXCEL.replace(";", ",").encode(), "CSV, UTF-8, commas"),
        (EXCEL.replace(";", "|").encode(), "CSV, UTF-8, bars"),
        (EXCEL.replace("\r\n", "\r").encode("cp1251"), "CSV, Windows-1251, semicolons"),
    ],
)
def test_what_excel_writes_is_understood_without_an_option(tmp_path: Path, content: bytes, described: str):
    """Encoding, delimiter and line ends are detected; names and phones come out as they were typed."""
    rows = [(2, ["8 (961) 224-22-43", "Анна", "Москва"]), (3, ["8 (961) 224-22-44", "Пётр", "«Тверь»"])]

    assert (("Телефон", "Имя", "Город"), rows, described) == table(tmp_path, content)


def test_excel_may_name_its_delimiter(tmp_path: Path):
    """A first line `sep=;` sets the delimiter and is not the header; it is counted as a line."""
    assert (("phone", "a,b"), [(3, ["1", "2,3"])]) == table(tmp_path, b"sep=;\r\nphone;a,b\r\n1;2,3\r\n")[:2]


@pytest.mark.parametrize(
    "content",
    [b"79612242243\n79612242244", b"\xef\xbb\xbf79612242243\r\n\r\n79612242244\r\n", b"79612242243\n,\n79612242244\n"],
)
def test_a_plain_list_of_phones_has_a_column_phone(tmp_path: Path, content: bytes):
    """A file without a header is a list of phones if its first line is one."""
    columns, rows, _ = table(tmp_path, content)

    assert (("phone",), [["79612242243"], ["79612242244"]]) == (columns, [cells for _, cells in rows])  # type: ignore[union-attr]


def test_a_cell_may_span_lines_and_hold_delimiters(tmp_path: Path):
    """Quoted cells keep their line breaks, quotes and delimiters; a row's line is the one it begins in."""
    content = b'phone,text\n1,"a\nb, ""c"""\n\n2,d\n'

    assert [(2, ["1", 'a\nb, "c"']), (5, ["2", "d"])] == table(tmp_path, content)[1]


def test_short_rows_are_filled_up_and_empty_cells_beyond_the_header_dropped(tmp_path: Path):
    """Trailing delimiters, as spreadsheets write them, change nothing."""
    assert [(2, ["1", ""]), (3, ["2", "b"])] == table(tmp_path, b"phone,text\n1\n2,b,,\n")[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\n\n ,\n", "it is empty"),
        (b"phone,text\n1,a,b\n", "line 2: 3 cells under 2 columns"),
        (b'phone,text\n1,"a\n2,b\n', "line 2: not CSV"),
        (b'phone,text\n1,a\n2,"b"c\n', "line 3: not CSV"),
        (b"79612242243,Anna\n79612242244,Pete\n", "no header"),
        (b"phone\n7961\x0002242243\n", "NUL"),
        ("phone,text\n1,Привет".encode("utf-16-le"), "NUL"),
        (b"PK\x03\x04whatever", "an Excel workbook"),
        (b"\x1f\x8bwhatever", "compressed"),
        ("phone\nПривет, мир\n".encode() + b"\xff", "mostly UTF-8"),
        (b"phone\n\x98\x98\n", "not Windows-1251"),
        (b"phone," + b"x" * 2_200_000, "a line of more than"),
        (b'phone,text\n1,"' + b"x\n" * 100_000 + b'"\n', "line 2: not CSV: field larger"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, content: bytes, words: str):
    """A file that cannot be read to its end is refused in a sentence, and never read as something else."""
    with pytest.raises(InputError, match=words):
        table(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "delimiter", "columns"),
    [
        ("phone;name,surname\n79612242243;Ann,Lee\n", ";", ("phone", "name,surname")),
        ("name,surname;phone\nAnn,Lee;79612242243\n", ";", ("name,surname", "phone")),
        ("phone;first,middle,last\n79612242243;A,B,C\n", ";", ("phone", "first,middle,last")),
        ("mobile no;name,surname\n+7 961 224-22-43;Ann,Lee\n", ";", ("mobile no", "name,surname")),
        ("phone,name;surname\n79612242243,Ann;Lee\n", ",", ("phone", "name;surname")),
        ("Телефон|Имя,Отчество|x;y\n79612242243|А,Б|1;2\n", "|", ("Телефон", "Имя,Отчество", "x;y")),
        ("phone\tname,a;b\n79612242243\tx,y;z\n", "\t", ("phone", "name,a;b")),
        ("phone;a,b\n79612242243,00;1\n", ";", ("phone", "a,b")),
        ("phone;name,surname\n", ";", ("phone", "name,surname")),
        ('"phone";"name, surname"\n"79612242243";"Ann, Lee"\n', ";", ("phone", "name, surname")),
        ("x|phone|y,name\n1,79612242243\n2,79612242244\n", ",", ("x|phone|y", "name")),
    ],
)
def test_of_two_delimiters_the_one_that_separates_phones_counts(
    tmp_path: Path, content: str, delimiter: str, columns: tuple[str, ...]
):
    """If several delimiters give even columns, the delimiter under which there is a column of phones is chosen."""
    path = tmp_path / "people.csv"
    path.write_text(content, encoding="utf-8")

    assert (delimiter, columns) == ((opened := CsvTable(path)).delimiter, opened.columns)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("cell", "why"), [('"a', "unexpected end"), ('"b"c', "expected after"), ('"' + "x\n" * 70_000, "limit")]
)
def test_a_quote_that_is_not_closed_is_told_with_its_line(tmp_path: Path, delimiter: str, cell: str, why: str):
    """A quoting error is named, with its line and what to do, under every delimiter."""
    content = f"phone{delimiter}text\n79612242243{delimiter}a\n79612242244{delimiter}{cell}\n79612242245{delimiter}b\n"
    with pytest.raises(InputError, match=rf"line 3: not CSV: .*{why}.*; close each double quote"):
        table(tmp_path, content.encode())


RUSSIAN = "phone;имя\n79612242243;Анна\n79612242244;Пётр\n79612242245;Сергей\n"


@pytest.mark.parametrize(
    "letters", [RUSSIAN, RUSSIAN.upper(), RUSSIAN.lower(), "phone\n79612242243;Тимур", "phone;ФИО"]
)
@pytest.mark.parametrize("encoding", ["cp866", "koi8-r", "iso8859-5"])
def test_russian_in_another_encoding_is_not_guessed(tmp_path: Path, letters: str, encoding: str):
    """Russian letters that are not in Windows-1251 end in an error that names the likely encoding, which then reads."""
    with pytest.raises(InputError, match=rf"line \d: not UTF-8, .*\(--encoding.*\), likely .*{encoding}"):
        table(tmp_path, letters.encode(encoding))

    header, *_ = letters.split("\n")
    assert tuple(header.split(";")) == table(tmp_path, letters.encode(encoding), encoding=encoding)[0]


@pytest.mark.parametrize("name", ["Анна", "Сергей", "Тимур", "Елена", "Вячеслав", "Таня"])
def test_a_macintoshs_encoding_is_not_guessed(tmp_path: Path, name: str):
    """MacCyrillic has Windows-1251's small letters, except one, and capitals of its own; a capital is enough."""
    content = f"phone,name\n79612242243,{name}\n"
    with pytest.raises(InputError, match=r"line 2: .*likely mac-cyrillic"):
        table(tmp_path, content.encode("mac-cyrillic"))

    assert content.encode("mac-cyrillic").decode("cp1251") != content


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1252", "José"),
        ("cp1252", "Müller"),
        ("cp1252", "Ångström"),
        ("cp1252", "5 €"),
        ("cp1254", "Şükrü"),
        ("cp1254", "İbrahim"),
        ("cp1254", "Ağaoğlu"),
        ("cp1250", "Łukasz"),
        ("cp1250", "Dvořák"),
        ("cp1251", "Наталія"),
        ("cp1251", "Ўладзімір"),
        ("cp1251", "Київ"),
        ("kz1048", "Әсел"),
        ("koi8-u", "Наталія"),
    ],
)
def test_letters_that_are_not_russian_are_not_guessed(tmp_path: Path, encoding: str, name: str):
    """Western, Turkish, Polish, Ukrainian, Belarusian or Kazakh letters in 8 bits: the caller names the encoding."""
    content = b"phone,name\r\n" + b"79612242243,Ann\r\n" * 3_000 + f"79612242244,{name}\r\n".encode(encoding)
    with pytest.raises(InputError, match=rf"line 3002: not UTF-8, .*likely .*{encoding}"):
        table(tmp_path, content)

    assert name == table(tmp_path, content, encoding=encoding)[1][-1][1][1]  # type: ignore[index]


@pytest.mark.parametrize(
    "name",
    [
        "Анна",
        "АННА",
        "анна",
        "Ёлкин",
        "Фёдор",
        "Эдуард",
        "Уфа",
        "Щукина-Эйх",
        "ФИО",
        "ООО «Рога и Ко»",
        "“Ромашка” — лучше…",
        "№ 5",
        "МегаФон",
        "Cветлана",
        "м",
        "Пёс",
        "10 °C ± 1",
    ],
)
def test_russian_in_windows_1251_needs_no_option(tmp_path: Path, name: str):
    """Names, firms, signs, capitals, and a Latin letter by mistake are read as Excel has written them."""
    _, rows, described = table(tmp_path, f"phone;name\n79612242243;{name}\n".encode("cp1251"))

    assert ("CSV, Windows-1251, semicolons", [(2, ["79612242243", name])]) == (described, rows)


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-16LE", "utf-16-be", "utf-32-le"])
def test_a_mark_is_no_part_of_the_header(tmp_path: Path, encoding: str):
    """A byte order mark is left out, whether the encoding is named or detected."""
    content = "\ufeffphone,имя\n79612242243,Анна\n".encode(encoding)

    assert ("phone", "имя") == table(tmp_path, content)[0] == table(tmp_path, content, encoding=encoding)[0]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_named(tmp_path: Path, encoding: str):
    """UTF-16 without a mark is refused with the encoding to name, which then reads."""
    content = RUSSIAN.encode(encoding)
    with pytest.raises(InputError, match=f"--encoding {encoding}"):
        table(tmp_path, content)

    assert ("phone", "имя") == table(tmp_path, content, encoding=encoding)[0]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_byte_that_does_not_fit_is_named_with_its_line(tmp_path: Path, ends: str):
    """The line of a byte that is not UTF-8 is named, wherever it stands in the file."""
    before = ends.join(["phone,name", "79612242244,Пётр", *["79612242243,Ann"] * 100_000, ""]).encode()
    with pytest.raises(InputError, match="line 100003: mostly UTF-8"):
        table(tmp_path, before + b"79612242243,Jos\xe9")
    with pytest.raises(InputError, match="line 100003: not UTF-8 at byte"):
        table(tmp_path, before + b"79612242243,\xd0", encoding="utf-8")


def test_encoding_and_delimiter_may_be_given(tmp_path: Path):
    """An option overrides a wrongly detected encoding or delimiter."""
    content = "phone:имя\n1:Ян\n".encode("koi8-r")

    assert [(2, ["1", "Ян"])] == table(tmp_path, content, encoding="koi8-r", delimiter=":")[1]
    for name in ("klingon", "rot13", "\0"):
        with pytest.raises(InputError, match="not an encoding"):
            table(tmp_path, content, encoding=name)
    with pytest.raises(InputError, match="one character"):
        table(tmp_path, content, delimiter="::")


def test_what_cannot_be_opened_is_an_input_error(tmp_path: Path):
    """A missing file and a folder are each one sentence."""
    with pytest.raises(InputError, match="No such file"):
        open_table(tmp_path / "missing.csv")
    with pytest.raises(InputError, match="not a regular file"):
        open_table(tmp_path)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=20), st.sampled_from(",;\t|"))
def test_any_table_that_python_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str]], delimiter: str
):
    """A CSV file with a header and any cells is read as it was written."""
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("phone", "имя", "x"), *rows])
    read = [row.cells for row in CsvTable(path, encoding="utf-8", delimiter=delimiter).rows()]

    assert [list(row) for row in rows if any(map(str.strip, row))] == read


def test_json_lines_may_have_keys_of_their_own(tmp_path: Path):
    """Columns are the keys of all objects; numbers become text, and missing keys are empty."""
    lines = [{"phone": 79612242243, "name": "Анна"}, {"phone": "79612242244", "age": 7, "x": None}, {"phone": 7.9e10}]
    content = "\ufeff" + "\n\n".join(map(json.dumps, lines))

    assert (
        ("phone", "name", "age", "x"),
        [
            (1, ["79612242243", "Анна", "", ""]),
            (3, ["79612242244", "", "7", ""]),
            (5, ["79000000000", "", "", ""]),
        ],
        "JSON Lines",
    ) == table(tmp_path, content.encode(), "file.jsonl")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b'{"phone": 1}\n[1]\n', "line 2: not a JSON object"),
        (b'{"phone": 1}\n{"phone": \n', "line 2: not a JSON object"),
        (b'{"phone": {"a": 1}}\n', "line 1: 'phone' is neither"),
        (b'{"phone": "\xff"}\n', "line 1: not a JSON object"),
        (b"[" * 200_000, "line 1: not a JSON object"),
        (b'{"phone": "' + b"1" * 1_100_000 + b'"}', "line 1: longer than"),
    ],
)
def test_what_is_wrong_with_json_lines_is_said_with_its_line(tmp_path: Path, content: bytes, words: str):
    """The error names a line that is not a flat object."""
    with pytest.raises(InputError, match=words):
        table(tmp_path, content, "file.jsonl")


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_parquet_and_arrow_are_read_as_rows(tmp_path: Path, kind: str):
    """Typed columns become text: integers, floats that hold integers, nulls; rows are numbered from 1."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    feather, parquet = pytest.importorskip("pyarrow.feather"), pytest.importorskip("pyarrow.parquet")
    data = pa.table({"phone": [79612242243, None, 79612242245], "x": [1.0, None, 2.5], "имя": ["Анна", " ", "Ян"]})
    path = tmp_path / "people"
    parquet.write_table(data, path) if kind == "parquet" else feather.write_feather(data, path)
    opened = open_table(path)

    assert (kind.capitalize(), ("phone", "x", "имя")) == (opened.described, opened.columns)
    assert [(1, ["79612242243", "1", "Анна"]), (3, ["79612242245", "2.5", "Ян"])] == list(opened.rows())


@pytest.mark.parametrize("content", [b"PAR1", b"ARROW1", b"PAR1" * 100, b"ARROW1\0\0" * 100])
def test_a_broken_parquet_file_is_an_input_error(tmp_path: Path, content: bytes):
    """A file that begins as Parquet or Arrow and is broken after that is refused in a sentence."""
    pytest.importorskip("pyarrow", reason="an extra")
    with pytest.raises(InputError, match="Parquet nor Arrow"):
        table(tmp_path, content, "people.parquet")


@pytest.mark.parametrize(
    "text",
    ["Dear Bob,\nsale!", "a\tb", "-20 %", "=1+1", "'=1+1", "family 👨\u200d👩\u200d👧", "Анна", "a\ufffdb", "+1"],
)
def test_a_results_file_gives_back_the_texts_that_it_was_given(tmp_path: Path, text: str):
    """A row's own cells are unchanged: line ends, joined emoji, text that begins as a formula does."""
    path = tmp_path / "results.csv"
    result = SendResult(ClientIdSms("101"), Phone("79612242243"), Outcome.ACCEPTED, "7")
    with results_file(path, ("text", "name")) as file:
        assert file is not None
        file.write([(result, Row(2, [text, "Анна"]))])

    [row] = open_table(path).rows()
    assert [text, "Анна"] == row.cells[-2:]


def test_a_replacement_character_does_not_make_a_file_windows_1251(tmp_path: Path):
    """A file with U+FFFD is read as UTF-8, as with any other character."""
    _, rows, described = table(tmp_path, "phone,name\n79612242243,a\ufffdb\n".encode())

    assert "UTF-8" in described
    assert [(2, ["79612242243", "a\ufffdb"])] == rows


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_one_column_of_decimals_is_one_column(tmp_path: Path, separator: str):
    """In a file of one column, a comma before zeros, as a Russian Excel writes it, is not a delimiter."""
    content = separator.join(["phone", "79612242243,00", "79612242244,00", ""])
    columns, rows, _ = table(tmp_path, content.encode())

    assert (("phone",), [(2, ["79612242243,00"]), (3, ["79612242244,00"])]) == (columns, rows)


def typed_file(folder: Path, kind: str, **columns: object) -> Path:
    """Write a Parquet or Arrow file with a column of two phones beside *columns*, and return its path."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    feather, parquet = pytest.importorskip("pyarrow.feather"), pytest.importorskip("pyarrow.parquet")
    path = folder / "people"
    data = pa.table({"phone": ["79612242243", "79612242244"], **columns})
    parquet.write_table(data, path) if kind == "parquet" else feather.write_feather(data, path)
    return path


def typed_column(type_name: str, value: int) -> object:
    """Return an Arrow column of two values: null, and *value* as a number of the type's units."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    if type_name == "string":  # bytes that are not UTF-8
        return pa.Array.from_buffers(pa.string(), 2, pa.array([b"ok", b"\xff\xfe"], pa.binary()).buffers())
    unit, _, zone = type_name.partition("/")
    return pa.array([None, value], pa.timestamp(unit, tz=f"Mars/{zone}") if zone else pa.type_for_alias(type_name))


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize(
    ("type_name", "value", "why"),
    [
        ("timestamp[ns]", 1_700_000_000_123_456_789, r"is a timestamp\[ns\] that Python cannot hold"),
        ("timestamp[us]", 2**62, r"is a timestamp\[us\] that Python cannot hold"),
        ("date32", 10**7, r"is a date32\[day\] that Python cannot hold"),
        ("time64[ns]", 1, r"is a time64\[ns\] that Python cannot hold"),
        ("duration[ns]", 1, r"is a duration\[ns\] that Python cannot hold"),
        ("us/Olympus", 0, r"is a timestamp\[us, tz=Mars/Olympus\] that Python cannot hold"),
        ("string", 0, "is not UTF-8"),
    ],
)
def test_a_value_that_python_cannot_hold_matters_only_where_it_is_used(
    tmp_path: Path, kind: str, type_name: str, value: int, why: str
):
    """The error names row and column if a text needs the value; in a column that nothing needs it ends no campaign."""
    path = typed_file(tmp_path, kind, seen=typed_column(type_name, value))

    rows = [person.row.cells for person in Audience(path, "Sale!").people()]
    assert ["79612242244", "\ufffd"] == rows[-1]
    assert "79612242244" in StopList.from_file(path)
    with pytest.raises(InputError, match=rf"people, row 2: 'seen' {why}"):
        Audience(path, "Seen {seen}").check()
    with pytest.raises(InputError, match=rf"people, row 2: 'seen' {why}"):
        list(open_table(path).rows())


def test_nested_values_matter_only_where_they_are_used(tmp_path: Path):
    """Lists and objects in a column of JSON Lines that nothing needs end no campaign; in a text they are an error."""
    path = tmp_path / "people.jsonl"
    path.write_text('{"phone": 79612242243, "tags": ["a"]}\n', encoding="utf-8")

    assert ["79612242243"] == [recipient.phone for recipient in Audience(path, "Sale!").recipients()]
    with pytest.raises(InputError, match="line 1: 'tags' is neither a text nor a number"):
        Audience(path, "{tags}").check()


@pytest.mark.parametrize(
    ("written", "scale", "text"),
    [
        ("0", 18, "0"),
        ("-0", 18, "0"),
        ("0", 2, "0.00"),
        ("1.5", 2, "1.50"),
        ("0.00000012", 8, "0.00000012"),
        ("1000", -3, "1000"),
    ],
)
def test_a_decimal_is_written_as_people_write_it(tmp_path: Path, written: str, scale: int, text: str):
    """A decimal has no exponent in a text, and a zero with many places is `0`."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    numbers = pa.array([Decimal(written), None], pa.decimal128(38, scale))
    path = typed_file(tmp_path, "arrow", bonus=numbers)
    first, *_ = Audience(path, "{bonus}").recipients()

    assert text == first.text


def test_a_decimal_key_keeps_its_spelling(tmp_path: Path):
    """Ids are derived from keys, so that a key is spelled as when the campaign began."""
    pa = pytest.importorskip("pyarrow", reason="an extra")
    path = typed_file(tmp_path, "parquet", key=pa.array([Decimal(0), Decimal(1)], pa.decimal128(38, 18)))

    assert ["0E-18", "1.000000000000000000"] == [recipient.key for recipient in Audience(path, "Sale!").recipients()]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_columns_name_that_is_not_utf_8_is_told(tmp_path: Path, kind: str):
    """A file with such a name is refused in a sentence."""
    path = typed_file(tmp_path, kind, zzzzz=["a", "b"])
    path.write_bytes(path.read_bytes().replace(b"zzzzz", b"zz\xff\xfez"))

    with pytest.raises(InputError, match="a column's name is not UTF-8"):
        open_table(path)
