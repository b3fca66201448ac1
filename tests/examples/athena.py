"""Runs the SQL examples of the documents, which are Athena's, on DuckDB.

    athena.py BLOCKS LINES...

BLOCKS is JSON: [{"place": "docs/x.md:12", "text": "SELECT …"}, …]; LINES are lines that an auditor recorded. sqlglot reads each example as
Athena's dialect and writes it as DuckDB's, whose binder knows every column and field that is asked for. The auditor's table is the
one that the documents themselves create, filled with LINES; CloudTrail's is the one of AWS's documents, filled with made-up
records of what AWS would have logged around those lines. Rows must come out, and those below of the queries that are named there.
Prints a line an example, then `N passed, N failed`. Not Athena itself: what its engine refuses and sqlglot takes is not found.
"""

import json
import sys

import duckdb
import sqlglot
from cloudtrail import DDL, INSTANCE, Story
from sqlglot import exp

def places(story):
    """What a reader puts in the place of what is written large."""
    return {"POD-UID": story.theft["token"]["owner"]["uid"], "INSTANCE-ID": INSTANCE, "ID-OF-THE-LINE": story.imds["id"]}


def expected(story):
    """By a part of a query: some columns of all the rows that it must give on the story's records."""
    theft, own = story.theft["id"], story.own["id"]
    prefix = story.theft["binding"]["session_name_prefix"]
    minute = story.theft["time"][:17]
    return {
        # All that was done with the credentials of one pod's sessions.
        "tag['value'] = 'POD-UID'": (["session_name", "eventname", "sourceipaddress"], [(f"{prefix}old", "GetItem", "10.0.1.5")]),
        # By the UID in the tags; without tags by role and session name. No session that was over, and no other pod's.
        "WITH thefts AS": (["id", "access_key"], [(theft, "ASIANEW"), (story.untagged["id"], "ASIAUNTAGGED")]),
        "eventname = 'AssumeRoleForPodIdentity'": (
            ["eventtime", "instance_id", "cluster", "errorcode"],
            [(f"{minute}59Z", INSTANCE, "prod", None), (f"{minute}59Z", INSTANCE, "prod", "AccessDenied")],
        ),
        # Each SDK's way to say the time, and none; and the session that no open on a node explains.
        "AssumeRoleWithWebIdentity": (
            ["access_key", "id"],
            [("ASIAPYTHON", own), ("ASIAJS", own), ("ASIAGO", own), ("ASIANAMED", own), ("ASIAREPLAY", None)],
        ),
        "a.id = 'ID-OF-THE-LINE'": (
            ["eventname", "sourceipaddress"],
            [("AssumeRoleForPodIdentity", "10.0.1.5"), ("AssumeRoleForPodIdentity", "10.0.1.5"), ("DescribeInstances", "198.51.100.9")],
        ),
    }


def duck(statement):
    """One statement of Athena's in DuckDB's words."""

    def has_any(node):
        is_it = isinstance(node, exp.Anonymous) and node.name.lower() == "any_match"
        if not is_it:
            return node
        return exp.GT(this=exp.ArraySize(this=exp.ArrayFilter(this=node.expressions[0], expression=node.expressions[1])), expression=exp.Literal.number(0))

    return statement.transform(has_any)


def create(db, statement):
    """The table without what says where its files are; gives its name and its columns with their types."""
    statement = statement.copy()
    statement.set("properties", None)
    db.execute(statement.sql("duckdb"))
    columns = {column.name: column.kind for column in statement.this.expressions}
    return statement.find(exp.Table).name, columns


def fitted(value, kind):
    """As the tables' SerDe does it: what the type has no field for is left out, what the value lacks is null."""
    if value is None:
        return None
    if kind.is_type("struct"):
        return {field.name: fitted(value.get(field.name), field.kind) for field in kind.expressions}
    if kind.is_type("array"):
        return [fitted(item, kind.expressions[0]) for item in value]
    return value


def fill(db, name, columns, rows):
    struct = ", ".join(f'"{column}" {kind.sql("duckdb")}' for column, kind in columns.items())
    for row in rows:
        kept = {column: fitted(row.get(column), kind) for column, kind in columns.items()}
        db.execute(f"INSERT INTO {name} SELECT unnest(CAST(?::JSON AS STRUCT({struct})))", [json.dumps(kept)])


def run(db, text, story):
    """The columns and rows of an example."""
    for mark, value in places(story).items():
        text = text.replace(f"'{mark}'", f"'{value}'")
    result = None
    for statement in sqlglot.parse(text, read="athena"):
        result = db.execute(duck(statement).sql("duckdb"))
    return [column[0] for column in result.description], result.fetchall()


def check(db, block, story, used):
    names, rows = run(db, block["text"], story)
    for part, (columns, wanted) in expected(story).items():
        if part in block["text"]:
            used.add(part)
            found = [tuple(row[names.index(column)] for column in columns) for row in rows]
            assert sorted(found, key=str) == sorted(wanted, key=str), f"expected {wanted}, not {found}"
            return f"{len(rows)} rows, as expected"
    assert rows, "no row comes out of what tests/examples/cloudtrail.py makes up: say there what it is meant to find"
    return f"{len(rows)} rows"


def main(blocks, lines):
    blocks = json.loads(open(blocks, encoding="utf-8").read())
    lines = [json.loads(line) for path in lines for line in open(path, encoding="utf-8")]
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    name, columns = create(db, sqlglot.parse_one(DDL, read="athena"))
    story = Story(lines)
    fill(db, name, columns, story.trail)
    passed, failed, used = 0, 0, set()
    # What makes tables comes first.
    blocks.sort(key=lambda block: "CREATE EXTERNAL TABLE" not in block["text"])
    for block in blocks:
        try:
            if "CREATE EXTERNAL TABLE" in block["text"]:
                name, columns = create(db, sqlglot.parse_one(block["text"], read="athena"))
                fill(db, name, columns, story.lines)
                told = f"a table of {len(columns)} columns, filled with {len(story.lines)} lines"
            else:
                told = check(db, block, story, used)
            passed += 1
            print(f"ok   {block['place']}: {told}")
        except Exception as error:  # An example's fault is told as its own, whatever it is.
            failed += 1
            print(f"FAIL {block['place']}: {type(error).__name__}: {error}")
    # Of the document as a whole, and not where another is asked for by name.
    is_whole = any("CREATE EXTERNAL TABLE" in block["text"] for block in blocks)
    for part in expected(story).keys() - used if is_whole else ():
        failed += 1
        print(f"FAIL tests/examples/athena.py: no example has {part!r} any more")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
