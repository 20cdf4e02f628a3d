"""The statements of a dump that fill what others make: each in the only forms in which pg_dump writes it.

``pg_dump --schema-only`` writes none of them. What is more than such a form, if only by one word, is not one of them:
nothing can hide in it.
"""

from __future__ import annotations

import re

from ...formats.sql.grammar import IDENTIFIER, NAME

#: A number of pg_largeobject, in the statements that name it as an object.
_ON = rb"LARGE OBJECT [0-9]+"
_ROLES = IDENTIFIER + rb"(?:, ?" + IDENTIFIER + rb")*+"
_RIGHTS = rb"[A-Z]+(?:, ?[A-Z]+)*+"
#: The head of a statement about a large object that ends in a string, which may be of any length.
_SAID = rb"(?:COMMENT ON |SECURITY LABEL FOR " + IDENTIFIER + rb" ON )" + _ON + rb" IS '"
_SAID_AT_LENGTH = re.compile(_SAID)
#: What a grant in the name of another role is between.
AS_ANOTHER = re.compile(rb"SET SESSION AUTHORIZATION " + IDENTIFIER + rb";")
AS_BEFORE = b"RESET SESSION AUTHORIZATION;"


def _forms(string: bytes) -> re.Pattern[bytes]:
    argument = string + rb"(?:::[a-z0-9_ ]+(?:\[\])?)?+"
    return re.compile(
        rb"SELECT pg_catalog\.(?:"
        rb"setval\(" + string + rb", -?[0-9]+, (?:true|false)\)"
        rb"|lo_create\('[0-9]+'\)"
        rb"|lo_unlink\('[0-9]+'\)"
        rb"|lo_unlink\(oid\) FROM pg_catalog\.pg_largeobject_metadata WHERE oid = '[0-9]+'"
        rb"|lo_open\('[0-9]+', [0-9]+\)"
        rb"|lowrite\(0, " + string + rb"\)"
        rb"|lo_close\(0\));"
        rb"|ALTER " + _ON + rb" OWNER TO " + IDENTIFIER + rb";"
        rb"|GRANT " + _RIGHTS + rb" ON " + _ON + rb" TO " + _ROLES + rb"(?: WITH GRANT OPTION)?+;"
        rb"|REVOKE (?:GRANT OPTION FOR )?+" + _RIGHTS + rb" ON " + _ON + rb" FROM " + _ROLES + rb"(?: CASCADE)?+;"
        rb"|" + _SAID[:-1] + string + rb";"
        rb"|REFRESH MATERIALIZED VIEW " + NAME + rb";"
        rb"|SELECT \* FROM pg_catalog\.pg_restore_(?:relation|attribute)_stats\("
        rb"(?:\s*+" + argument + rb",)*+\s*+" + argument + rb"\s*+\);"
    )


#: By whether a backslash escapes in strings, which pg_dump then doubles.
_FORMS = {False: _forms(rb"'(?:[^']|'')*+'"), True: _forms(rb"'(?:[^'\\]|''|\\\\)*+'")}


def fills(statement: bytes, *, whole: bool, backslashes: bool) -> bool:
    """Whether a statement, or the beginning of one that is not ``whole``, sets values, large objects or statistics.

    ``backslashes``: whether one escapes in strings. Not for COPY and INSERT.
    """
    if not whole:  # behind such a beginning the grammar has room for a string alone
        return _SAID_AT_LENGTH.match(statement) is not None
    return _FORMS[backslashes].fullmatch(statement) is not None
