#!/usr/bin/env python3
"""Writes the seeds under corpus/: whole, valid inputs for the fuzzers to start from."""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).parent / "corpus"


def put(fuzzer, name, data):
    folder = CORPUS / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


# ---- pgoutput: PostgreSQL documentation, "Logical Replication Message Formats" ----

def text(s):
    return s.encode() + b"\0"


def begin(lsn, xid=7):
    return b"B" + struct.pack("!QqI", lsn, 1, xid)


def commit(lsn):
    return b"C" + struct.pack("!BQQq", 0, lsn, lsn + 0x50, 2)


def relation(oid, name, columns, identity=b"d", schema="public"):
    body = b"R" + struct.pack("!I", oid) + text(schema) + text(name) + identity
    body += struct.pack("!H", len(columns))
    for column, type_oid, key in columns:
        body += struct.pack("!B", key) + text(column) + struct.pack("!Ii", type_oid, -1)
    return body


def row(*values):
    body = struct.pack("!H", len(values))
    for v in values:
        body += {None: b"n", ...: b"u"}.get(v) or b"t" + struct.pack("!I", len(v)) + v.encode()
    return body


def change(kind, oid, *marks_and_rows):
    return kind + struct.pack("!I", oid) + b"".join(marks_and_rows)


def stream(*messages):
    return b"".join(struct.pack("!H", len(m)) + m for m in messages)


ORDERS = relation(16385, "orders", [("id", 23, 1), ("body", 25, 0), ("note", 25, 0)])
USERS = relation(16386, "users", [("mood", 16400, 1)], b"f")
MOOD = b"Y" + struct.pack("!I", 16400) + text("public") + text("mood")
ORIGIN = b"O" + struct.pack("!Q", 0xaa) + text("other")
OLD, NEW, KEY = row("6", "hi", None), row("7", "hi", None), row("6", None, None)
MESSAGE = b"M" + struct.pack("!BQ", 1, 0xff0) + text("app") + struct.pack("!I", 5) + b"a\0b\0c"
LONE = b"M" + struct.pack("!BQ", 0, 0xff0) + text("") + struct.pack("!I", 0)
TRUNCATE = b"T" + struct.pack("!IBII", 2, 3, 16385, 16386)
RESET = b""

PGOUTPUT = {
    "insert": [begin(0x1000), ORDERS, change(b"I", 16385, b"N", NEW), commit(0x1000)],
    "update": [begin(0x1000), ORDERS, change(b"U", 16385, b"N", row("7", ..., None)),
               change(b"U", 16385, b"K", KEY, b"N", NEW),
               change(b"U", 16385, b"O", OLD, b"N", NEW), commit(0x1000)],
    "delete": [begin(0x1000), ORDERS, change(b"D", 16385, b"K", KEY),
               change(b"D", 16385, b"O", OLD), commit(0x1000)],
    "types": [begin(0x1000), ORIGIN, MOOD, USERS, change(b"I", 16386, b"N", row("sad")),
              commit(0x1000)],
    "truncate": [begin(0x1000), ORDERS, USERS, TRUNCATE, commit(0x1000)],
    "messages": [LONE, begin(0x1000), MESSAGE, commit(0x1000)],
    "reshape": [begin(0x1000), ORDERS, change(b"I", 16385, b"N", NEW), ORDERS,
                relation(16385, "orders", [("id", 20, 1)]), change(b"I", 16385, b"N", row("1")),
                commit(0x1000)],
    "reset": [begin(0x1000), ORDERS, RESET, begin(0x1000), ORDERS,
              change(b"I", 16385, b"N", NEW), commit(0x1000), begin(0x2000), commit(0x2000)],
}


# ---- container: Apache Avro specification, "Object Container Files" ----

def long(n):
    z = (n << 1) ^ (n >> 63)
    out = b""
    while z > 0x7f:
        out += bytes([z & 0x7f | 0x80])
        z >>= 7
    return out + bytes([z])


def avro(b):
    return long(len(b)) + b


def container(schema, *blocks, codec=b"null"):
    marker = b"0123456789abcdef"
    out = b"Obj\1" + long(2) + avro(b"avro.schema") + avro(schema)
    out += avro(b"avro.codec") + avro(codec) + long(0) + marker
    for count, data in blocks:
        out += long(count) + avro(data) + marker
    return out


RECORD = (b'{"type":"record","name":"R","fields":[{"name":"a","type":["null","long"]},'
          b'{"name":"b","type":{"type":"array","items":"double"}},'
          b'{"name":"c","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}')

CONTAINER = {
    "strings": container(b'"string"', (2, avro(b"a") + avro(b"bb")), (1, avro(b"c"))),
    "record": container(RECORD, (1, long(1) + long(5) + long(1) + struct.pack("<d", 1.5) + long(0)
                                 + avro(b"\x04\xd2"))),
    "empty": container(b'"null"', (3, b"")),
    "deflate": container(b'"string"', codec=b"deflate"),
}

# ---- registry: two bytes of status, the step (3: register), whether of a key, then the body ----

REGISTRY = {
    "ok": (200, b'{"id":7}'),
    "incompatible": (409, b'{"error_code":40901,"message":"READER_FIELD_MISSING_DEFAULT_VALUE"}'),
    "invalid": (422, b'{"error_code":42201,"message":"Invalid schema"}'),
    "readonly": (422, b'{"error_code":42205,"message":"not permitted"}'),
    "denied": (401, b'{"error_code":40101,"message":"User cannot access"}'),
    "broken": (500, b'{"error_code":50001,"message":"Error in the backend data store"}'),
    "html": (502, b"<html><body>Bad Gateway</body></html>"),
    "none": (0, b""),
}


# ---- wal2json: one byte (what the catalog answers), then messages as pgoutput's ----

def json_head(action):
    return '{"action":"%s","xid":7,"timestamp":"2026-11-25 03:33:59.02671+00","origin":0' % action


def json_end(action):
    return json_head(action) + ',"lsn":"0/1000","nextlsn":"0/1050"}'


def json_column(name, kind, oid, value, position=None):
    more = ',"optional":true,"position":%d' % position if position else ""
    return '{"name":"%s","type":"%s","typeoid":%d,"value":%s%s}' % (name, kind, oid, value, more)


def json_change(action, columns=(), identity=()):
    body = json_head(action) + ',"lsn":"0/F00","schema":"public","table":"t"'
    if columns:
        body += ',"columns":[%s]' % ",".join(columns)
    if identity:
        body += ',"identity":[%s]' % ",".join(identity)
    if action != "T":
        body += ',"pk":[{"name":"id","type":"integer","typeoid":23}]'
    return body + "}"


J_ID, J_BODY = json_column("id", "integer", 23, "1", 1), json_column("body", "text", 25, r'"a\u00e9\n"', 2)
J_NOTE, J_KEY = json_column("note", "numeric(10,2)", 1700, "null", 4), json_column("id", "integer", 23, "1")
J_ODD, J_OLD = json_column("odd", 'My s"."x', 16400, r'"{1,\"b\"}"', 3), json_column("body", "text", 25, '"old"')
J_MESSAGE = ('{"action":"M","xid":null,"timestamp":null,"origin":null,"lsn":"0/A","transactional":false,'
             r'"prefix":"p","content":"x\ny"}')
WAL2JSON = {
    "rows": [json_end("B"), json_change("I", [J_ID, J_BODY, J_NOTE]), json_change("U", [J_ID, J_NOTE], [J_KEY]),
             json_change("D", (), [J_KEY]), json_change("T"), json_end("C"), ""],
    "full": [json_end("B"), json_change("U", [J_ID], [J_KEY, J_OLD]), json_change("I", [J_ID, J_ODD]), json_end("C")],
    "message": [J_MESSAGE],
}

# ---- checkpoint: one byte (which copies get a right checksum), then the file ----

def record(generation, lsn, state=2, slot=b"walferry_shop"):
    return b"WALFERRY" + struct.pack("=IIQQQqII64sI4x", 1, state, generation, 7 << 60, lsn, 1, 3, 0,
                                     slot, 0)


CHECKPOINT = {
    "two": b"\3" + record(2, 0x2222).ljust(4096, b"\0") + record(1, 0x1111),
    "first": b"\3" + bytes(4096) + record(1, 0x1111, state=1),
    "torn": b"\2" + record(2, 0x2222).ljust(4096, b"\0") + record(1, 0x1111),
    "both": b"\0" + record(2, 0x2222).ljust(4096, b"\0") + record(1, 0x1111),
    "last": b"\3" + record(2**64 - 1, 0x2222).ljust(4096, b"\0") + record(1, 0x1111),
    "empty": b"\0",
}

# ---- nested: a type's number, then a value's text ----

NESTED = ("{1,NULL}", r'{"a\"b",NULL,"c\\d"}', "[5:6]={a,b}", r'("{""(a,1)""}",5,"x ""y""")', "[(0,0),(1,1)]",
          "((0,0),(1,1))", "<(0,0),1>", "{1,2,3}", "[1,2.5]", "{1:1.5,9:2}/3000", "010100000000000000",
          '"a"=>"1", "b"=>NULL', "(1,1),(0,0);(2,2),(1,1)")  # fmt: skip

# ---- binary: a type's number (fuzz_binary.c), then a value's bytes ----

TEXT_ARRAY = struct.pack("!IIIIIi", 1, 1, 25, 2, 1, 1) + b"a" + struct.pack("!i", -1)
PAIR = struct.pack("!IIiiIi", 3, 23, 4, 7, 1009, len(TEXT_ARRAY)) + TEXT_ARRAY + struct.pack("!Ii", 16403, -1)
BINARY = {
    "array": (51, struct.pack("!IIIIIi", 1, 0, 16400, 1, 1, len(PAIR)) + PAIR),
    "numeric": (31, struct.pack("!HhHHHH", 2, 0, 0x4000, 3, 1, 5000)),
    "float8": (18, struct.pack("!d", 5197.0755542198895)),
    "query": (36, bytes.fromhex("00000003 0202 01000063 00 01080162 00".replace(" ", ""))),
    "vector": (35, bytes.fromhex("00000001 6127 00 0002 c001 0002".replace(" ", ""))),
    "hstore": (45, struct.pack("!Ii", 1, 1) + b"a" + struct.pack("!i", 1) + b'"'),
    "range": (38, b"\2" + struct.pack("!iiii", 4, 1, 4, 5)),
    "interval": (29, struct.pack("!qii", -1, 1, -13)),
    "inet": (23, bytes([2, 24, 0, 4, 10, 0, 0, 1])),
}

for name, (number, value) in BINARY.items():
    put("binary", name, bytes([number]) + value)
for number, value in enumerate(NESTED):
    put("nested", str(number), bytes([number]) + value.encode())
for name, messages in PGOUTPUT.items():
    put("pgoutput", name, stream(*messages))
for name, messages in WAL2JSON.items():
    for how in (0, 13, 15, 129):
        put("wal2json", f"{name}-{how}", bytes([how]) + stream(*(m.encode() for m in messages)))
for name, data in CONTAINER.items():
    put("container", name, data)
for name, (status, body) in REGISTRY.items():
    put("registry", name, struct.pack("!HBB", status, 3, 0) + body)
for name, data in CHECKPOINT.items():
    put("checkpoint", name, data)
