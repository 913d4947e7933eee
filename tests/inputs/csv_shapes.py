"""CSV and TSV: lines, fields, quotes, separators, encodings."""

from __future__ import annotations

from catalogue import Case, log

TWO = [(1, 7), (2, 8)]
HEAD = "user_id,item_id\n"

#: Line ends, and what is after the last line.
LINES = [
    log("line ends: Unix", HEAD + "1,7\n2,8\n", TWO),
    log("line ends: Windows", "user_id,item_id\r\n1,7\r\n2,8\r\n", TWO),
    log("line ends: old Macintosh", "user_id,item_id\r1,7\r2,8\r", TWO),
    log("line ends: mixed", "user_id,item_id\n1,7\r\n2,8\n", TWO),
    log("no line end after the last line", HEAD + "1,7\n2,8", TWO),
    log("blank lines at the end", HEAD + "1,7\n2,8\n\n\n", TWO),
    log("blank lines with blanks at the end", HEAD + "1,7\n2,8\n  \n", TWO),
    log("blank lines between", HEAD + "1,7\n\n\n2,8\n", TWO),
    log("blank lines before the header", "\n\n" + HEAD + "1,7\n2,8\n", TWO),
    log("a byte order mark", "\ufeff" + HEAD + "1,7\n2,8\n", TWO),
    log("a byte order mark and quotes", '\ufeff"user_id","item_id"\n1,7\n2,8\n', TWO),
    log("an empty file", "", refused="(?i)empty|no (rows|header|data)"),
    log("nothing but line ends", "\n\n\n", refused="(?i)empty|no (rows|header|data)"),
    log("a header alone", HEAD, refused="should hold rows. Found none"),
    log("one row", HEAD + "1,7\n", refused="at least 2 users"),
    log("a NUL byte within a field", HEAD + "1,7\x00\n2,8\n", [(1, "7\x00"), (2, "8")]),
    log("a Ctrl-Z at the end, as DOS wrote it", HEAD + "1,7\n2,8\n\x1a", refused="line 4"),
]

#: Numbers of fields.
FIELDS = [
    log("a line with one field too many", HEAD + "1,7\n2,8,9\n3,9\n", refused=r"log\.csv.*line 3"),
    log("a line with one field too few", HEAD + "1,7\n2\n3,9\n", refused=r"log\.csv.*line 3"),
    log(
        "dropping lines with too many or too few",
        HEAD + "1,7\n2,8,9\n3\n4,9\n",
        [(1, 7), (4, 9)],
        on_bad_row="drop",
    ),
    log("a last line cut before its last field", HEAD + "1,7\n2,8\n3", refused="line 4"),
    log("an empty last column without a name", "user_id,item_id,\n1,7,\n2,8,\n", TWO),
    log(
        "two columns of one name, both used",
        "user_id,item_id,item_id\n1,7,8\n2,8,9\n",
        refused="(?s)each column once. 'item_id' occurs 2 times",
    ),
    log(
        "two columns of one name, unused",
        "user_id,item_id,x,x\n1,7,1,2\n2,8,1,2\n",
        refused="(?i)'x'",
    ),
    log("columns in another order", "item_id,user_id\n7,1\n8,2\n", TWO),
    log("blanks around the names of columns", "user_id , item_id\n1,7\n2,8\n", refused="user_id"),
    log(
        "names in capitals",
        "USER_ID,ITEM_ID\n1,7\n2,8\n",
        refused=r"'user_id'\. Did you mean 'USER_ID'\? Found: USER_ID, ITEM_ID",
    ),
    log(
        "names in capitals, as the recipe says",
        "USER_ID,ITEM_ID\n1,7\n2,8\n",
        TWO,
        interactions={"user_id": "USER_ID", "item_id": "ITEM_ID"},
    ),
    log("a missing column", "user_id,film\n1,7\n2,8\n", refused="item_id"),
    log("no header", "1,7\n2,8\n3,9\n", refused="user_id"),
    log(
        "the header twice, as after joining files",
        HEAD + "1,7\n" + HEAD + "2,8\n",
        [("1", "7"), ("user_id", "item_id"), ("2", "8")],
    ),
    log(
        "a comment before the header",
        "# made by hand\n" + HEAD + "1,7\n2,8\n",
        refused="line|user_id",
    ),
    log("another separator, not said", "user_id;item_id\n1;7\n2;8\n", refused="separator: ';'"),
    log("another separator, as the recipe says", "user_id;item_id\n1;7\n2;8\n", TWO, separator=";"),
    log("bars", "user_id|item_id\n1|7\n2|8\n", TWO, separator="|"),
    log("tabs in a CSV", "user_id\titem_id\n1\t7\n2\t8\n", TWO, separator="\t"),
    log("TSV", "user_id\titem_id\n1\t7\n2\t8\n", TWO, file="log.tsv"),
    log("commas in a TSV", "user_id,item_id\n1,7\n2,8\n", refused="user_id", file="log.tsv"),
    log(
        "a hundred unused columns",
        "user_id,item_id,"
        + ",".join(f"c{i}" for i in range(100))
        + "\n1,7"
        + ",x" * 100
        + "\n2,8"
        + ",x" * 100
        + "\n",
        TWO,
    ),
    log(
        "a field of a million characters",
        HEAD + f"1,{'x' * 1_000_000}\n2,8\n",
        [(1, "x" * 1_000_000), (2, "8")],
    ),
]

#: Quotes.
QUOTES = [
    log("all fields quoted", '"user_id","item_id"\n"1","7"\n"2","8"\n', TWO),
    log("a separator within quotes", HEAD + '1,"a,b"\n2,c\n', [(1, "a,b"), (2, "c")]),
    log("quotes doubled within quotes", HEAD + '1,"a""b"\n2,c\n', [(1, 'a"b'), (2, "c")]),
    log("a line end within quotes", HEAD + '1,"a\nb"\n2,c\n', [(1, "a\nb"), (2, "c")]),
    log(
        "a Windows line end within quotes",
        'user_id,item_id\r\n1,"a\r\nb"\r\n2,c\r\n',
        [(1, "a\r\nb"), (2, "c")],
    ),
    log("empty quotes", HEAD + '1,""\n2,c\n3,d\n', refused="null"),
    log("a quote in the middle of a field", HEAD + '1,a"b\n2,c\n', [(1, 'a"b'), (2, "c")]),
    log(
        "inches, as plain characters",
        HEAD + '1,"5\n2,6"\n',
        [(1, '"5'), (2, '6"')],
        quote_char=None,
    ),
    log("a quote that never ends", HEAD + '1,"a\n2,b\n3,c\n', refused="(?i)quote"),
    log("quotes that join lines", HEAD + '1,"a\n2,b\n3,c"\n4,d\n', refused="quote_char"),
    log(
        "quotes that join lines in a TSV",
        'user_id\titem_id\n1\t"a\n2\tb\n3\tc"\n4\td\n',
        refused="quote_char",
        file="log.tsv",
    ),
    log(
        "quotes that join lines, as plain characters",
        HEAD + '1,"a\n2,b\n3,c"\n4,d\n',
        [(1, '"a'), (2, "b"), (3, 'c"'), (4, "d")],
        quote_char=None,
    ),
    log(
        "single quotes, as the recipe says",
        HEAD + "1,'a,b'\n2,c\n",
        [(1, "a,b"), (2, "c")],
        quote_char="'",
    ),
    log("single quotes, not said", HEAD + "1,'a'\n2,c\n", [(1, "'a'"), (2, "c")]),
    log("text after a closing quote", HEAD + '1,"a"b\n2,c\n', refused="(?i)quote|line 2"),
    log("a blank before a quote", HEAD + '1, "a"\n2,c\n', [(1, ' "a"'), (2, "c")]),
]

_WORD = "Amélie"
_TEXT = f"{HEAD}1,{_WORD}\n2,x\n"
_ROWS = [(1, _WORD), (2, "x")]
#: Encodings: right ones are read, wrong ones refused, never guessed.
ENCODINGS = [
    *(
        log(f"encoding {name}, as the recipe says", _TEXT.encode(name), _ROWS, encoding=name)
        for name in (
            "utf-8",
            "utf-8-sig",
            "latin-1",
            "cp1252",
            "utf-16",
            "utf-16-le",
            "utf-16-be",
            "utf-32",
            "iso-8859-15",
            "mac-roman",
            "cp850",
        )
    ),
    *(
        log(f"encoding {name}, not said", _TEXT.encode(name), refused="(?i)encoding|utf-8")
        for name in ("latin-1", "cp1252", "utf-16", "utf-32", "cp850")
    ),
    log("an encoding that does not exist", _TEXT, refused="encoding", encoding="utf-9"),
    log(
        "UTF-8 cut within a letter", (HEAD + "1,x\n2,é").encode()[:-1], refused="(?i)utf-8|encoding"
    ),
    log("letters beyond the basic plane", HEAD + "1,𝔘😀\n2,x\n", [(1, "𝔘😀"), (2, "x")]),
    log("one letter in two forms", HEAD + "1,é\n2,e\u0301\n", [(1, "é"), (2, "e\u0301")]),
    log("right-to-left text", HEAD + "1,שלום\n2,مرحبا\n", [(1, "שלום"), (2, "مرحبا")]),
]

CASES: list[Case] = [*LINES, *FIELDS, *QUOTES, *ENCODINGS]
