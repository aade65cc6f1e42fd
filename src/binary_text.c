/* Texts, addresses, bits, and documents. */
#include <arpa/inet.h>

#include "binary_parts.h"

#define FAMILY_V4 2 /* PGSQL_AF_INET */
#define FAMILY_V6 3
#define QUERY_DEPTH 64 /* operators in operators of a tsquery */

static size_t left(const struct wf_reader *r)
{
    return (size_t)(r->end - r->at);
}

WF_BINARY(wf_binary_text)
{
    size_t n = left(r);

    (void)b;
    wf_buf_put(out, r->at, n);
    r->at += n;
}

WF_BINARY(wf_binary_versioned)
{
    if (wf_read_u8(r, "version") != 1) {
        wf_read_fail(r, "version");
        return;
    }
    wf_binary_text(b, r, out);
}

/* Above 127 the text depends on the release. */
WF_BINARY(wf_binary_char)
{
    uint8_t c = wf_read_u8(r, "char");

    (void)b;
    if (c > 127)
        wf_read_fail(r, "char");
    wf_buf_put(out, &c, c != 0);
}

static void put_hex(struct wf_buf *out, const char *bytes, size_t n, const char *digits)
{
    if (!n || !wf_buf_reserve(out, 2 * n))
        return;
    wf_put_hex(out->data + out->len, bytes, n, digits);
    out->len += 2 * n;
}

WF_BINARY(wf_binary_bytea)
{
    (void)b;
    wf_buf_put(out, "\\x", 2);
    put_hex(out, r->at, left(r), WF_HEX_LOWER);
    r->at = r->end;
}

WF_BINARY(wf_binary_hex)
{
    (void)b;
    put_hex(out, r->at, left(r), WF_HEX_UPPER);
    r->at = r->end;
}

WF_BINARY(wf_binary_uuid)
{
    static const uint8_t groups[] = {4, 2, 2, 2, 6};

    (void)b;
    for (size_t i = 0; i < sizeof(groups); i++) {
        const char *bytes = wf_read_bytes(r, groups[i], "uuid");

        if (!bytes)
            return;
        wf_buf_put(out, "-", i != 0);
        put_hex(out, bytes, groups[i], WF_HEX_LOWER);
    }
}

WF_BINARY(wf_binary_bits)
{
    uint32_t n = wf_read_u32(r, "bit");
    const char *bytes = wf_read_bytes(r, ((size_t)n + 7) / 8, "bit");

    (void)b;
    if (!bytes || !wf_buf_reserve(out, n))
        return;
    for (uint32_t i = 0; i < n; i++)
        out->data[out->len++] = (unsigned char)bytes[i / 8] >> (7 - i % 8) & 1 ? '1' : '0';
}

WF_BINARY(wf_binary_inet)
{
    uint8_t family = wf_read_u8(r, "inet"), bits = wf_read_u8(r, "inet");
    uint8_t cidr = wf_read_u8(r, "inet"), n = wf_read_u8(r, "inet");
    uint8_t most = family == FAMILY_V4 ? 32 : 128;
    const char *bytes = wf_read_bytes(r, n, "inet");
    char text[INET6_ADDRSTRLEN];

    (void)b;
    if (!bytes || (family != FAMILY_V4 && family != FAMILY_V6) || n != most / 8 || bits > most ||
        !inet_ntop(family == FAMILY_V4 ? AF_INET : AF_INET6, bytes, text, sizeof(text))) {
        wf_read_fail(r, "inet");
        return;
    }
    wf_buf_str(out, text);
    if (cidr || bits != most)
        wf_buf_printf(out, "/%u", bits);
}

static void put_mac(struct wf_reader *r, struct wf_buf *out, int n)
{
    for (int i = 0; i < n; i++) {
        char byte = (char)wf_read_u8(r, "macaddr");

        wf_buf_put(out, ":", i != 0);
        put_hex(out, &byte, 1, WF_HEX_LOWER);
    }
}

WF_BINARY(wf_binary_macaddr)
{
    (void)b;
    put_mac(r, out, 6);
}

WF_BINARY(wf_binary_macaddr8)
{
    (void)b;
    put_mac(r, out, 8);
}

WF_BINARY(wf_binary_lsn)
{
    uint32_t high = wf_read_u32(r, "pg_lsn"), low = wf_read_u32(r, "pg_lsn");

    (void)b;
    wf_buf_printf(out, "%X/%X", high, low);
}

WF_BINARY(wf_binary_tid)
{
    uint32_t block = wf_read_u32(r, "tid");

    (void)b;
    wf_buf_printf(out, "(%u,%u)", block, wf_read_u16(r, "tid"));
}

WF_BINARY(wf_binary_snapshot)
{
    uint32_t n = wf_read_u32(r, "pg_snapshot");
    uint64_t low = wf_read_u64(r, "pg_snapshot"), high = wf_read_u64(r, "pg_snapshot");

    (void)b;
    wf_buf_printf(out, "%llu:%llu:", (unsigned long long)low, (unsigned long long)high);
    for (uint32_t i = 0; i < n && !r->what; i++)
        wf_buf_printf(out, "%s%llu", i ? "," : "",
                      (unsigned long long)wf_read_u64(r, "pg_snapshot"));
}

/* ---- hstore ------------------------------------------------------------------------------ */

/* Quoted, with a backslash before quotes and backslashes. */
static void put_quoted(struct wf_reader *r, struct wf_buf *out, uint32_t n)
{
    const char *s = wf_read_bytes(r, n, "hstore");

    wf_buf_byte(out, '"');
    for (uint32_t i = 0; s && i < n; i++) {
        wf_buf_put(out, "\\", s[i] == '"' || s[i] == '\\');
        wf_buf_byte(out, (unsigned char)s[i]);
    }
    wf_buf_byte(out, '"');
}

WF_BINARY(wf_binary_hstore)
{
    uint32_t n = wf_read_u32(r, "hstore");

    (void)b;
    for (uint32_t i = 0; i < n && !r->what; i++) {
        int32_t len;

        wf_buf_put(out, ", ", i ? 2 : 0);
        put_quoted(r, out, wf_read_u32(r, "hstore"));
        wf_buf_put(out, "=>", 2);
        len = (int32_t)wf_read_u32(r, "hstore");
        if (len == -1)
            wf_buf_put(out, "NULL", 4);
        else
            put_quoted(r, out, (uint32_t)len);
    }
}

/* ---- full text search ---------------------------------------------------------------------- */

static void put_word(struct wf_buf *out, const char *s)
{
    wf_buf_byte(out, '\'');
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\')
            wf_buf_byte(out, (unsigned char)*s);
        wf_buf_byte(out, (unsigned char)*s);
    }
    wf_buf_byte(out, '\'');
}

WF_BINARY(wf_binary_tsvector)
{
    static const char weights[] = {0, 'C', 'B', 'A'};
    uint32_t n = wf_read_u32(r, "tsvector");

    (void)b;
    for (uint32_t i = 0; i < n && !r->what; i++) {
        uint16_t positions;

        wf_buf_put(out, " ", i != 0);
        put_word(out, wf_read_str(r, "tsvector word"));
        positions = wf_read_u16(r, "tsvector");
        for (uint16_t k = 0; k < positions && !r->what; k++) {
            uint16_t v = wf_read_u16(r, "tsvector position");
            char weight = weights[v >> 14];

            wf_buf_printf(out, "%c%u", k ? ',' : ':', v & 0x3fff);
            wf_buf_put(out, &weight, weight != 0);
        }
    }
}

enum { QUERY_NOT = 1, QUERY_AND, QUERY_OR, QUERY_PHRASE };

/* The items left to read: a query stands in prefix order, right operand before left. */
struct query {
    struct wf_buf *out;
    uint32_t items;
};

static void put_operand(struct wf_reader *r, struct wf_buf *out)
{
    uint8_t weight = wf_read_u8(r, "tsquery"), prefix = wf_read_u8(r, "tsquery");

    put_word(out, wf_read_str(r, "tsquery word"));
    if (weight || prefix)
        wf_buf_byte(out, ':');
    wf_buf_put(out, "*", prefix != 0);
    for (int i = 0; i < 4; i++)
        wf_buf_put(out, &"ABCD"[i], weight >> (3 - i) & 1);
}

/* Past one operand with all that belongs to it. */
static void skip_query(struct wf_reader *r)
{
    uint64_t wanted = 1;

    while (wanted && !r->what) {
        if (wf_read_u8(r, "tsquery") == 1) {
            wf_read_bytes(r, 2, "tsquery");
            wf_read_str(r, "tsquery word");
            wanted--;
            continue;
        }
        switch (wf_read_u8(r, "tsquery operator")) {
        case QUERY_NOT:
            break;
        case QUERY_PHRASE:
            wf_read_u16(r, "tsquery distance");
            wanted++;
            break;
        case QUERY_AND:
        case QUERY_OR:
            wanted++;
            break;
        default:
            wf_read_fail(r, "tsquery operator");
        }
    }
}

static void put_operator(struct wf_buf *out, uint8_t op, uint16_t distance)
{
    if (op == QUERY_OR)
        wf_buf_str(out, " | ");
    else if (op == QUERY_AND)
        wf_buf_str(out, " & ");
    else if (distance == 1)
        wf_buf_str(out, " <-> ");
    else
        wf_buf_printf(out, " <%u> ", distance);
}

/* infix() of utils/adt/tsquery.c. */
static void put_query(struct wf_reader *r, struct wf_buf *out, int parent, bool right_of_phrase,
                      int depth)
{
    static const int priorities[] = {
        [QUERY_NOT] = 4, [QUERY_AND] = 2, [QUERY_OR] = 1, [QUERY_PHRASE] = 3};
    uint8_t type = wf_read_u8(r, "tsquery"), op;
    struct wf_reader right;
    uint16_t distance = 0;
    bool bracket;

    if (type == 1) {
        put_operand(r, out);
        return;
    }
    op = wf_read_u8(r, "tsquery operator");
    if (type != 2 || op < QUERY_NOT || op > QUERY_PHRASE || depth == QUERY_DEPTH) {
        wf_read_fail(r, "tsquery operator");
        return;
    }
    if (op == QUERY_PHRASE)
        distance = wf_read_u16(r, "tsquery distance");
    bracket = priorities[op] < parent || (op == QUERY_PHRASE && right_of_phrase);
    wf_buf_put(out, "( ", bracket ? 2 : 0);
    if (op == QUERY_NOT) {
        wf_buf_byte(out, '!');
        put_query(r, out, priorities[op], false, depth + 1);
    } else {
        right = *r;
        skip_query(r);
        put_query(r, out, priorities[op], false, depth + 1);
        put_operator(out, op, distance);
        if (!r->what)
            put_query(&right, out, priorities[op], op == QUERY_PHRASE, depth + 1);
        if (right.what)
            wf_read_fail(r, right.what);
    }
    wf_buf_put(out, " )", bracket ? 2 : 0);
}

WF_BINARY(wf_binary_tsquery)
{
    (void)b;
    if (wf_read_u32(r, "tsquery"))
        put_query(r, out, -1, false, 0);
}
