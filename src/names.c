#include "names.h"

static bool is_alnum(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* '_' for each UTF-16 unit of the character that starts with @c; nothing inside a character. */
static void put_foreign(struct wf_buf *out, unsigned char c)
{
    if (c >= 0x80 && c < 0xc0)
        return;
    wf_buf_byte(out, '_');
    if (c >= 0xf0)
        wf_buf_byte(out, '_');
}

static void put_topic(struct wf_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];

        if (is_alnum(c) || c == '.' || c == '_' || c == '-')
            wf_buf_byte(out, c);
        else
            put_foreign(out, c);
    }
}

/* A UTF-16 unit as `avro_unicode` writes it. */
static void put_unit(struct wf_buf *out, unsigned unit)
{
    wf_buf_printf(out, unit > 0x0f && unit < 0x100 ? "_u00%x" : "_u%x", unit);
}

/* The character that starts at @s; a broken sequence is taken byte by byte. @len: its bytes. */
static uint32_t character(const char *s, size_t *len)
{
    unsigned char c = (unsigned char)s[0];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    uint32_t value = n == 1 ? c : c & (0x7fu >> n);

    for (*len = 1; *len < n; ++*len) {
        unsigned char next = (unsigned char)s[*len];

        if ((next & 0xc0) != 0x80) {
            *len = 1;
            return c;
        }
        value = value << 6 | (next & 0x3f);
    }
    return value;
}

static void put_units(struct wf_buf *out, uint32_t value)
{
    if (value < 0x10000) {
        put_unit(out, value);
        return;
    }
    put_unit(out, 0xd800 + ((value - 0x10000) >> 10 & 0x3ff));
    put_unit(out, 0xdc00 + ((value - 0x10000) & 0x3ff));
}

static void put_unicode(struct wf_buf *out, const char *s, bool field)
{
    size_t len;

    for (bool first = true; *s; s += len) {
        unsigned char c = (unsigned char)*s;

        len = 1;
        if (c == '.' && !field)
            wf_buf_byte(out, '.');
        else if (is_alnum(c) && !(first && c >= '0' && c <= '9'))
            wf_buf_byte(out, c);
        else
            put_units(out, character(s, &len));
        first = c == '.' && !field;
    }
}

static void put_avro(struct wf_buf *out, const char *s, bool field)
{
    bool first = true;

    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '.' && !field) {
            if (first)
                wf_buf_byte(out, '_');
            wf_buf_byte(out, '.');
            first = true;
            continue;
        }
        if (first && c >= '0' && c <= '9')
            wf_buf_byte(out, '_');
        if (is_alnum(c) || c == '_')
            wf_buf_byte(out, c);
        else
            put_foreign(out, c);
        first = false;
    }
    if (first)
        wf_buf_byte(out, '_');
}

void wf_name_avro(struct wf_buf *out, const char *s, bool field, enum wf_name_mode mode)
{
    if (mode == WF_NAME_AVRO_UNICODE)
        put_unicode(out, s, field);
    else
        put_avro(out, s, field);
}

uint32_t wf_name_hash(const char *s)
{
    uint32_t hash = 2166136261u;

    for (; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 16777619u;
    return hash;
}

enum placeholder { PH_NONE, PH_PREFIX, PH_SCHEMA, PH_TABLE };

/* The placeholder at @s and its length; PH_NONE and 1 for plain text. */
static enum placeholder placeholder_at(const char *s, size_t *len)
{
    static const struct {
        const char *text;
        enum placeholder ph;
    } all[] = {{"{prefix}", PH_PREFIX}, {"{schema}", PH_SCHEMA}, {"{table}", PH_TABLE}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        *len = strlen(all[i].text);
        if (!strncmp(s, all[i].text, *len))
            return all[i].ph;
    }
    *len = 1;
    return PH_NONE;
}

enum wf_rc wf_topic_make(struct wf_buf *out, const char *tmpl, const char *prefix,
                         const char *schema, const char *table, struct wf_err *err)
{
    const char *const values[] = {[PH_PREFIX] = prefix, [PH_SCHEMA] = schema, [PH_TABLE] = table};
    size_t len = 1;

    wf_buf_reset(out);
    for (const char *s = tmpl; *s; s += len) {
        enum placeholder ph = placeholder_at(s, &len);

        if (ph == PH_NONE)
            put_topic(out, s, 1);
        else
            put_topic(out, values[ph], strlen(values[ph]));
    }
    wf_buf_byte(out, '\0');
    if (out->failed && wf_buf_starved())
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    if (out->failed || out->len - 1 > WF_TOPIC_MAX)
        return wf_err_set(err, WF_REJECT, "topic_name",
                          "table %s.%s: the topic name has more than %d bytes; hint: shorten "
                          "format.topic or format.prefix",
                          schema, table, WF_TOPIC_MAX);
    if (out->len == 1 || !strcmp((char *)out->data, ".") || !strcmp((char *)out->data, ".."))
        return wf_err_set(err, WF_REJECT, "topic_name",
                          "table %s.%s: \"%s\" is no topic name; hint: change format.topic", schema,
                          table, (char *)out->data);
    return WF_OK;
}
