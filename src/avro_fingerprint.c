#include "avro_fingerprint.h"

#include <jansson.h>
#include <stdint.h>

#define DEPTH_MAX 64
#define CANONICAL_MAX (4u << 20)

static bool put_schema(struct wf_buf *out, const json_t *j, const char *ns, unsigned depth);

static void put_text(struct wf_buf *out, const char *s)
{
    wf_buf_byte(out, '"');
    wf_buf_json(out, s, strlen(s));
    wf_buf_byte(out, '"');
}

static bool is_primitive(const char *name)
{
    static const char *const names[] = {"null",  "boolean", "int",   "long",
                                        "float", "double",  "bytes", "string"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

/* A name with its namespace, which is @ns unless it has its own. */
static void put_full_name(struct wf_buf *out, const char *name, const char *ns)
{
    wf_buf_byte(out, '"');
    if (!strchr(name, '.') && ns && *ns) {
        wf_buf_str(out, ns);
        wf_buf_byte(out, '.');
    }
    wf_buf_str(out, name);
    wf_buf_byte(out, '"');
}

static bool put_list(struct wf_buf *out, const json_t *list, const char *ns, unsigned depth)
{
    wf_buf_byte(out, '[');
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (i)
            wf_buf_byte(out, ',');
        if (!put_schema(out, json_array_get(list, i), ns, depth + 1))
            return false;
    }
    wf_buf_byte(out, ']');
    return true;
}

static bool put_fields(struct wf_buf *out, const json_t *fields, const char *ns, unsigned depth)
{
    if (!json_is_array(fields))
        return false;
    wf_buf_str(out, ",\"fields\":[");
    for (size_t i = 0; i < json_array_size(fields); i++) {
        const json_t *field = json_array_get(fields, i);
        const char *name = json_string_value(json_object_get(field, "name"));

        if (!name)
            return false;
        wf_buf_str(out, i ? ",{\"name\":" : "{\"name\":");
        put_text(out, name);
        wf_buf_str(out, ",\"type\":");
        if (!put_schema(out, json_object_get(field, "type"), ns, depth + 1))
            return false;
        wf_buf_byte(out, '}');
    }
    wf_buf_byte(out, ']');
    return true;
}

/* The namespace that holds inside a named type: of its own dotted name, else its attribute, else
 * the enclosing one. @scratch keeps the first. */
static const char *inner_namespace(const json_t *j, const char *name, const char *ns,
                                   struct wf_buf *scratch)
{
    const char *dot = strrchr(name, '.');
    const char *own = json_string_value(json_object_get(j, "namespace"));

    if (!dot)
        return own ? own : ns;
    wf_buf_put(scratch, name, (size_t)(dot - name));
    wf_buf_byte(scratch, '\0');
    return scratch->failed ? ns : (const char *)scratch->data;
}

static bool put_symbols(struct wf_buf *out, const json_t *symbols)
{
    if (!json_is_array(symbols))
        return false;
    wf_buf_str(out, ",\"symbols\":[");
    for (size_t i = 0; i < json_array_size(symbols); i++) {
        const char *symbol = json_string_value(json_array_get(symbols, i));

        if (!symbol)
            return false;
        wf_buf_str(out, i ? "," : "");
        put_text(out, symbol);
    }
    wf_buf_byte(out, ']');
    return true;
}

static bool put_named(struct wf_buf *out, const json_t *j, const char *type, const char *ns,
                      unsigned depth)
{
    const char *name = json_string_value(json_object_get(j, "name"));
    struct wf_buf scratch;
    bool ok;

    if (!name)
        return false;
    wf_buf_init(&scratch, CANONICAL_MAX);
    ns = inner_namespace(j, name, ns, &scratch);
    wf_buf_str(out, "{\"name\":");
    put_full_name(out, name, ns);
    wf_buf_printf(out, ",\"type\":\"%s\"", type);
    if (!strcmp(type, "record"))
        ok = put_fields(out, json_object_get(j, "fields"), ns, depth);
    else if (!strcmp(type, "enum"))
        ok = put_symbols(out, json_object_get(j, "symbols"));
    else
        ok = json_is_integer(json_object_get(j, "size"));
    if (ok && !strcmp(type, "fixed"))
        wf_buf_printf(out, ",\"size\":%lld",
                      (long long)json_integer_value(json_object_get(j, "size")));
    wf_buf_byte(out, '}');
    wf_buf_deinit(&scratch);
    return ok;
}

static bool put_container(struct wf_buf *out, const json_t *j, const char *type, const char *ns,
                          unsigned depth)
{
    const char *of = type[0] == 'a' ? "items" : "values";

    wf_buf_printf(out, "{\"type\":\"%s\",\"%s\":", type, of);
    if (!put_schema(out, json_object_get(j, of), ns, depth + 1))
        return false;
    wf_buf_byte(out, '}');
    return true;
}

static bool put_schema(struct wf_buf *out, const json_t *j, const char *ns, unsigned depth)
{
    const char *type;

    if (!j || depth > DEPTH_MAX)
        return false;
    if (json_is_array(j))
        return put_list(out, j, ns, depth);
    if (json_is_string(j)) {
        type = json_string_value(j);
        put_full_name(out, type, is_primitive(type) ? NULL : ns);
        return true;
    }
    type = json_string_value(json_object_get(j, "type"));
    if (!type) /* {"type": {...}} is what it holds */
        return put_schema(out, json_object_get(j, "type"), ns, depth + 1);
    if (!strcmp(type, "record") || !strcmp(type, "enum") || !strcmp(type, "fixed"))
        return put_named(out, j, type, ns, depth);
    if (!strcmp(type, "array") || !strcmp(type, "map"))
        return put_container(out, j, type, ns, depth);
    put_full_name(out, type, is_primitive(type) ? NULL : ns);
    return true;
}

enum wf_rc wf_avro_canonical(const char *text, size_t len, struct wf_buf *out, struct wf_err *err)
{
    json_t *j = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool ok = j && put_schema(out, j, NULL, 0) && !out->failed;

    json_decref(j);
    return ok ? WF_OK : wf_err_set(err, WF_REJECT, "schema_invalid", "no Avro schema");
}

/* One byte at a time: schemas are rare. */
static uint64_t crc64(const unsigned char *s, size_t n)
{
    const uint64_t empty = UINT64_C(0xc15d213aa4d7a795);
    uint64_t crc = empty;

    for (size_t i = 0; i < n; i++) {
        uint64_t row = (crc ^ s[i]) & 0xff;

        for (unsigned bit = 0; bit < 8; bit++)
            row = (row >> 1) ^ (empty & (0 - (row & 1)));
        crc = (crc >> 8) ^ row;
    }
    return crc;
}

enum wf_rc wf_avro_fingerprint(const char *text, size_t len, uint64_t *out, struct wf_err *err)
{
    struct wf_buf canonical;
    enum wf_rc rc;

    wf_buf_init(&canonical, CANONICAL_MAX);
    rc = wf_avro_canonical(text, len, &canonical, err);
    if (rc == WF_OK)
        *out = crc64(canonical.data, canonical.len);
    wf_buf_deinit(&canonical);
    return rc;
}
