/* A reader of our own: a JSON library makes doubles of numbers. Source: RFC 8259. */
#include "wal2json_read.h"

#include <string.h>

#include "lsn.h"

#define MAX_DEPTH 16  /* of values under unknown keys */
#define MAX_NUMBER 20 /* digits of a number that is read as one */
#define TYPE_OID_KEY ",\"typeoid\":"

static bool fail(struct wf_w2j_reader *r, const char *at, const char *what)
{
    if (!r->what) {
        r->what = what;
        r->failed_at = (size_t)(at - r->start);
    }
    r->at = r->end;
    return false;
}

static void skip_space(struct wf_w2j_reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

/* The next byte that is no space, '\0' at the end. */
static char peek(struct wf_w2j_reader *r)
{
    skip_space(r);
    return (char)(r->at < r->end ? *r->at : '\0');
}

static bool take(struct wf_w2j_reader *r, char c)
{
    if (peek(r) != c || r->at == r->end)
        return false;
    r->at++;
    return true;
}

static bool expect(struct wf_w2j_reader *r, char c, const char *what)
{
    return take(r, c) || fail(r, r->at, what);
}

/* ---- strings ----------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hexadecimal digits at @s, or -1. */
static int32_t hex4(const char *s, const char *end)
{
    int32_t v = 0;

    if (end - s < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(s[i]);

        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* At most as many bytes as the escape had. */
static char *put_utf8(char *p, uint32_t c)
{
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xc0 | c >> 6);
        *p++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *p++ = (char)(0xe0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (char)(0x80 | (c & 0x3f));
    } else {
        *p++ = (char)(0xf0 | c >> 18);
        *p++ = (char)(0x80 | (c >> 12 & 0x3f));
        *p++ = (char)(0x80 | (c >> 6 & 0x3f));
        *p++ = (char)(0x80 | (c & 0x3f));
    }
    return p;
}

/* After "\u". Return: the character, 0 when it is none that a text of PostgreSQL can hold. */
static uint32_t unicode_escape(const char **s, const char *end)
{
    int32_t high = hex4(*s, end), low;

    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    *s += 4;
    if (high < 0xd800 || high > 0xdbff)
        return (uint32_t)high;
    if (end - *s < 6 || (*s)[0] != '\\' || (*s)[1] != 'u')
        return 0;
    low = hex4(*s + 2, end);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *s += 6;
    return 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
}

/* One escape at *s, behind the backslash. Return: where the room goes on, NULL when it is none. */
static char *unescape(const char **s, const char *end, char *p)
{
    static const char plain[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const char *found;
    uint32_t c;

    if (*s == end || !**s)
        return NULL;
    found = strchr(plain, **s);
    if (found) {
        *p++ = means[found - plain];
        (*s)++;
        return p;
    }
    if (*(*s)++ != 'u')
        return NULL;
    c = unicode_escape(s, end);
    return c ? put_utf8(p, c) : NULL;
}

/* The rest of a string from its first backslash on: copied into the room. */
static bool escaped_string(struct wf_w2j_reader *r, const char *begin, const char *s,
                           struct wf_w2j_text *out)
{
    char *p = r->room;

    memcpy(p, begin, (size_t)(s - begin));
    p += s - begin;
    while (s < r->end && *s != '"') {
        if ((unsigned char)*s < 0x20)
            return fail(r, s, "control character in a string");
        if (*s != '\\') {
            *p++ = *s++;
            continue;
        }
        s++;
        p = unescape(&s, r->end, p);
        if (!p)
            return fail(r, s, "unknown escape in a string");
    }
    if (s == r->end)
        return fail(r, s, "string without an end");
    *out = (struct wf_w2j_text){r->room, (size_t)(p - r->room)};
    *p++ = '\0';
    r->room = p;
    r->at = s + 1;
    return true;
}

static bool string(struct wf_w2j_reader *r, struct wf_w2j_text *out)
{
    const char *begin, *s;

    if (!expect(r, '"', "a string is expected"))
        return false;
    begin = r->at;
    for (s = begin; s < r->end && *s != '"' && *s != '\\'; s++) {
        if ((unsigned char)*s < 0x20)
            return fail(r, s, "control character in a string");
    }
    if (s == r->end)
        return fail(r, s, "string without an end");
    if (*s == '\\')
        return escaped_string(r, begin, s, out);
    *out = (struct wf_w2j_text){begin, (size_t)(s - begin)};
    r->at = s + 1;
    return true;
}

struct wf_w2j_text wf_w2j_put(struct wf_w2j_reader *r, const char *prefix, struct wf_w2j_text text)
{
    size_t n = strlen(prefix);
    char *p = r->room;

    memcpy(p, prefix, n);
    memcpy(p + n, text.s, text.n);
    p[n + text.n] = '\0';
    r->room = p + n + text.n + 1;
    return (struct wf_w2j_text){p, n + text.n};
}

/* ---- other values ------------------------------------------------------------------------ */

static const char *digits(const char *s, const char *end)
{
    while (s < end && *s >= '0' && *s <= '9')
        s++;
    return s;
}

/* RFC 8259, section 6: the whole of a number, nothing else. */
static bool number(struct wf_w2j_reader *r, struct wf_w2j_text *out)
{
    const char *s = r->at, *end = r->end, *from;

    s += s < end && *s == '-';
    from = s;
    s = digits(s, end);
    if (s == from)
        return fail(r, s, "a value is expected");
    if (s < end && *s == '.') {
        from = s + 1;
        s = digits(from, end);
        if (s == from)
            return fail(r, s, "number without digits behind its point");
    }
    if (s < end && (*s == 'e' || *s == 'E')) {
        s += 1 + (s + 1 < end && (s[1] == '+' || s[1] == '-'));
        from = s;
        s = digits(from, end);
        if (s == from)
            return fail(r, s, "number without an exponent");
    }
    *out = (struct wf_w2j_text){r->at, (size_t)(s - r->at)};
    r->at = s;
    return true;
}

static bool word(struct wf_w2j_reader *r, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0)
        return fail(r, r->at, "a value is expected");
    r->at += n;
    return true;
}

static bool scalar(struct wf_w2j_reader *r, enum wf_w2j_value *kind, struct wf_w2j_text *out)
{
    switch (peek(r)) {
    case '"':
        *kind = WF_W2J_STRING;
        return string(r, out);
    case 'n':
        *kind = WF_W2J_NULL;
        return word(r, "null");
    case 't':
        *kind = WF_W2J_TRUE;
        return word(r, "true");
    case 'f':
        *kind = WF_W2J_FALSE;
        return word(r, "false");
    default:
        *kind = WF_W2J_NUMBER;
        return number(r, out);
    }
}

/* A whole number from @min to @max. */
static bool whole(struct wf_w2j_reader *r, int64_t min, int64_t max, int64_t *out)
{
    const char *at = (skip_space(r), r->at);
    struct wf_w2j_text text = {0};
    bool negative;
    uint64_t v = 0;

    if (!number(r, &text) || !text.n)
        return false;
    negative = text.s[0] == '-';
    if (text.n > MAX_NUMBER - 2)
        return fail(r, at, "number out of range");
    for (size_t i = negative; i < text.n; i++) {
        if (text.s[i] < '0' || text.s[i] > '9')
            return fail(r, at, "a whole number is expected");
        v = v * 10 + (uint64_t)(text.s[i] - '0');
    }
    *out = negative ? -(int64_t)v : (int64_t)v;
    return (*out >= min && *out <= max) || fail(r, at, "number out of range");
}

static bool boolean(struct wf_w2j_reader *r, bool *out)
{
    enum wf_w2j_value kind;
    struct wf_w2j_text text;
    const char *at = (skip_space(r), r->at);

    if (!scalar(r, &kind, &text))
        return false;
    *out = kind == WF_W2J_TRUE;
    return kind == WF_W2J_TRUE || kind == WF_W2J_FALSE || fail(r, at, "true or false is expected");
}

/* A value under a key that is not known here. */
static bool skip_value(struct wf_w2j_reader *r)
{
    struct wf_w2j_text text;
    enum wf_w2j_value kind;
    unsigned depth = 0;

    do {
        char c = peek(r);

        if (c == '{' || c == '[') {
            r->at++;
            if (++depth > MAX_DEPTH)
                return fail(r, r->at, "values are nested too deeply");
        } else if (depth && (c == '}' || c == ']')) {
            r->at++;
            depth--;
        } else if (depth && (c == ',' || c == ':')) {
            r->at++;
        } else if (!scalar(r, &kind, &text)) {
            return false;
        }
    } while (depth && !r->what);
    return !r->what;
}

static bool is(struct wf_w2j_text key, const char *name)
{
    return key.n == strlen(name) && memcmp(key.s, name, key.n) == 0;
}

/* ---- objects ----------------------------------------------------------------------------- */

/* The next key of an object with its colon; false at the object's end and after a failure. */
static bool next_key(struct wf_w2j_reader *r, bool *first, struct wf_w2j_text *key)
{
    if (r->what || take(r, '}'))
        return false;
    if (!*first && !expect(r, ',', "a comma or the end of the object is expected"))
        return false;
    *first = false;
    return string(r, key) && expect(r, ':', "a colon is expected");
}

/* A key may stand once: of two values one would be lost. */
static bool once(struct wf_w2j_reader *r, uint32_t *seen, unsigned bit)
{
    if (*seen & 1u << bit)
        return fail(r, r->at, "a key stands twice");
    *seen |= 1u << bit;
    return true;
}

/* Which of @names, a NULL-terminated list, @key is; the list's length for an unknown one. */
static unsigned which(struct wf_w2j_text key, const char *const *names)
{
    unsigned i = 0;

    while (names[i] && !is(key, names[i]))
        i++;
    return i;
}

/* format_type() quotes odd names, and the plugin then leaves the quotes it would have to add away:
 * "My schema"."My type" is no JSON. The key behind it tells where it ends. */
static bool type_text(struct wf_w2j_reader *r, struct wf_w2j_text *out)
{
    const char *begin, *end;

    skip_space(r);
    begin = r->at;
    if (!string(r, out))
        return false;
    if (r->at == r->end || *r->at == ',' || *r->at == '}' || *r->at == ' ')
        return true;
    end = memmem(r->at, (size_t)(r->end - r->at), TYPE_OID_KEY, strlen(TYPE_OID_KEY));
    if (!end)
        return fail(r, r->at, "type without an end");
    *out = (struct wf_w2j_text){begin, (size_t)(end - begin)};
    r->at = end;
    return true;
}

static bool field_key(struct wf_w2j_reader *r, unsigned key, struct wf_w2j_field *f)
{
    bool optional = true;
    int64_t v = 0;
    bool ok;

    switch (key) {
    case 0:
        return string(r, &f->name);
    case 1:
        return type_text(r, &f->type);
    case 2: /* printed as a signed number */
        ok = whole(r, INT32_MIN, UINT32_MAX, &v);
        f->type_oid = (uint32_t)v;
        return ok;
    case 3:
        return scalar(r, &f->kind, &f->value);
    case 4:
        ok = boolean(r, &optional);
        f->not_null = !optional;
        return ok;
    case 5:
        ok = whole(r, 1, WF_MAX_COLUMNS, &v);
        f->position = (uint16_t)v;
        return ok;
    default:
        return skip_value(r);
    }
}

static bool field(struct wf_w2j_reader *r, struct wf_w2j_field *f)
{
    static const char *const names[] = {"name",     "type",     "typeoid", "value",
                                        "optional", "position", NULL};
    const char *at = (skip_space(r), r->at);
    struct wf_w2j_text key;
    uint32_t seen = 0;
    bool first = true;

    *f = (struct wf_w2j_field){0};
    if (!expect(r, '{', "a column is expected"))
        return false;
    while (next_key(r, &first, &key)) {
        unsigned i = which(key, names);

        if (names[i] && !once(r, &seen, i))
            return false;
        if (!field_key(r, i, f))
            return false;
    }
    if (!r->what && (!f->name.n || !f->type.s || !f->type_oid))
        return fail(r, at, "column without name, type or typeoid");
    return !r->what;
}

static bool fields(struct wf_w2j_reader *r, struct wf_w2j_fields *out, bool values, bool positions)
{
    uint16_t last = 0;

    out->present = true;
    out->n = 0;
    if (!expect(r, '[', "a list is expected"))
        return false;
    while (!take(r, ']')) {
        const char *at = r->at;
        struct wf_w2j_field *f = &out->at[out->n];

        if (out->n && !expect(r, ',', "a comma or the end of the list is expected"))
            return false;
        if (out->n == WF_MAX_COLUMNS)
            return fail(r, at, "more than 1664 columns");
        if (!field(r, f))
            return false;
        if (values && f->kind == WF_W2J_ABSENT)
            return fail(r, at, "column without a value");
        if (positions && f->position <= last)
            return fail(r, at, "column without a position, or out of order");
        last = f->position;
        out->n++;
    }
    return true;
}

/* ---- the message ------------------------------------------------------------------------- */

static bool lsn(struct wf_w2j_reader *r, uint64_t *out)
{
    const char *at = (skip_space(r), r->at);
    struct wf_w2j_text text;
    char copy[32];

    if (!string(r, &text))
        return false;
    if (text.n >= sizeof(copy))
        return fail(r, at, "no WAL position");
    memcpy(copy, text.s, text.n);
    copy[text.n] = '\0';
    return wf_lsn_parse(copy, out, NULL) == WF_OK || fail(r, at, "no WAL position");
}

/* @n digits at @s, or -1. */
static int32_t digits_at(const char *s, int n)
{
    int32_t v = 0;

    for (int i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        v = v * 10 + (s[i] - '0');
    }
    return v;
}

/* Days since 1970-01-01 in the Gregorian calendar. Counts years from March, so that the day that a
 * leap year has more is its last. */
static int64_t days_of(int32_t y, int32_t m, int32_t d)
{
    int32_t from_march = (m + 9) % 12;

    y -= m <= 2;
    return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + (153 * from_march + 2) / 5 + d - 1 -
           719468;
}

/* "2026-11-25 03:33:59.02671+00": session settings are pinned to ISO and UTC. */
static bool parse_time(struct wf_w2j_text t, int64_t *out)
{
    int32_t y, mo, d, h, mi, s, us = 0, scale = 1000000;
    size_t i = 19;

    if (t.n < 22 || t.s[4] != '-' || t.s[7] != '-' || t.s[10] != ' ' || t.s[13] != ':' ||
        t.s[16] != ':')
        return false;
    y = digits_at(t.s, 4);
    mo = digits_at(t.s + 5, 2);
    d = digits_at(t.s + 8, 2);
    h = digits_at(t.s + 11, 2);
    mi = digits_at(t.s + 14, 2);
    s = digits_at(t.s + 17, 2);
    if (y < 1970 || mo < 1 || mo > 12 || d < 1 || d > 31 || h < 0 || h > 23 || mi < 0 || mi > 59 ||
        s < 0 || s > 60)
        return false;
    if (t.s[i] == '.') {
        for (i++; i < t.n && t.s[i] >= '0' && t.s[i] <= '9' && scale > 1; i++) {
            scale /= 10;
            us += (t.s[i] - '0') * scale;
        }
    }
    if (t.n - i != 3 || memcmp(t.s + i, "+00", 3) != 0)
        return false;
    *out = (((days_of(y, mo, d) * 24 + h) * 60 + mi) * 60 + s) * INT64_C(1000000) + us;
    return true;
}

static bool timestamp(struct wf_w2j_reader *r, struct wf_w2j_record *out)
{
    const char *at = (skip_space(r), r->at);
    struct wf_w2j_text text;

    if (peek(r) == 'n')
        return word(r, "null");
    if (!string(r, &text))
        return false;
    out->has_time = parse_time(text, &out->time_us);
    return out->has_time || fail(r, at, "no timestamp in UTC");
}

/* A number, or null. */
static bool some_number(struct wf_w2j_reader *r, bool *has, uint32_t *out)
{
    int64_t v = 0;

    if (peek(r) == 'n')
        return word(r, "null");
    if (!whole(r, 0, UINT32_MAX, &v))
        return false;
    *has = true;
    *out = (uint32_t)v;
    return true;
}

enum {
    ACTION,
    XID,
    TIME,
    ORIGIN,
    LSN,
    NEXTLSN,
    SCHEMA,
    TABLE,
    COLUMNS,
    IDENTITY,
    PK,
    TRANSACTIONAL,
    PREFIX,
    CONTENT
};
static const char *const record_keys[] = {
    [ACTION] = "action",     [XID] = "xid",         [TIME] = "timestamp",
    [ORIGIN] = "origin",     [LSN] = "lsn",         [NEXTLSN] = "nextlsn",
    [SCHEMA] = "schema",     [TABLE] = "table",     [COLUMNS] = "columns",
    [IDENTITY] = "identity", [PK] = "pk",           [TRANSACTIONAL] = "transactional",
    [PREFIX] = "prefix",     [CONTENT] = "content", NULL,
};

static bool record_action(struct wf_w2j_reader *r, struct wf_w2j_record *out)
{
    const char *at = (skip_space(r), r->at);
    struct wf_w2j_text text;

    if (!string(r, &text))
        return false;
    if (text.n != 1 || !text.s[0] || !strchr("BCIUDTM", text.s[0]))
        return fail(r, at, "unknown action");
    out->action = text.s[0];
    return true;
}

static bool record_key(struct wf_w2j_reader *r, unsigned key, struct wf_w2j_record *out)
{
    bool has;

    switch (key) {
    case ACTION:
        return record_action(r, out);
    case XID:
        return some_number(r, &out->has_xid, &out->xid);
    case TIME:
        return timestamp(r, out);
    case ORIGIN:
        return some_number(r, &has, &out->origin);
    case LSN:
        return lsn(r, &out->lsn);
    case NEXTLSN:
        return lsn(r, &out->next_lsn);
    case SCHEMA:
        return string(r, &out->schema);
    case TABLE:
        return string(r, &out->table);
    case COLUMNS:
        return fields(r, &out->columns, true, true);
    case IDENTITY:
        return fields(r, &out->identity, true, false);
    case PK:
        return fields(r, &out->pk, false, false);
    case TRANSACTIONAL:
        return boolean(r, &out->transactional);
    case PREFIX:
        return string(r, &out->prefix);
    case CONTENT:
        return string(r, &out->content);
    default:
        return skip_value(r);
    }
}

static bool complete(struct wf_w2j_reader *r, const struct wf_w2j_record *c)
{
    const char *missing = NULL;
    bool row = c->action && strchr("IUD", c->action);

    if (!c->action)
        missing = "message without an action";
    else if (!c->lsn)
        missing = "message without an lsn";
    else if ((c->action == 'B' || c->action == 'C') && (!c->next_lsn || !c->has_time))
        missing = "transaction without nextlsn or timestamp";
    else if (!c->has_xid && (c->action != 'M' || c->transactional))
        missing = "message without an xid";
    else if ((row || c->action == 'T') && (!c->schema.n || !c->table.n))
        missing = "change without schema or table";
    else if ((c->action == 'I' || c->action == 'U') && !c->columns.present)
        missing = "change without columns";
    else if ((c->action == 'U' || c->action == 'D') && !c->identity.present)
        missing = "change without an identity";
    else if (row && !c->pk.present)
        missing = "change without pk";
    else if (c->action == 'M' && (!c->prefix.s || !c->content.s))
        missing = "message without prefix or content";
    return !missing || fail(r, r->end, missing);
}

bool wf_w2j_read(struct wf_w2j_reader *r, struct wf_w2j_record *out)
{
    struct wf_w2j_text key;
    uint32_t seen = 0;
    bool first = true;

    if (!expect(r, '{', "an object is expected"))
        return false;
    while (next_key(r, &first, &key)) {
        unsigned i = which(key, record_keys);

        if ((record_keys[i] && !once(r, &seen, i)) || !record_key(r, i, out))
            return false;
    }
    if (r->what)
        return false;
    skip_space(r);
    if (r->at != r->end)
        return fail(r, r->at, "bytes after the end of the message");
    return complete(r, out);
}
