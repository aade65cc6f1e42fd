/* Column defaults: from the catalog's expression to Avro bytes and to JSON for the schema. */
#include <stdio.h>
#include <stdlib.h>

#include "avro_get.h"
#include "types_conv.h"

#define DEFAULT_MAX 65536 /* a longer literal is not shown: it would stand in every schema */

enum expr_kind { EXPR_OTHER, EXPR_LITERAL, EXPR_CALL, EXPR_WORD };

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

/* Append the inside of a quoted literal; E'' knows backslashes (only doubled ones are printed).
 * Return: past the closing quote, NULL when there is none. */
static const char *take_quoted(const char *s, bool escapes, struct wf_buf *out)
{
    for (s++; *s; s++) {
        if (*s == '\'') {
            if (s[1] != '\'')
                return s + 1;
            s++;
        } else if (*s == '\\' && escapes && s[1]) {
            s++;
        }
        wf_buf_byte(out, (unsigned char)*s);
    }
    return NULL;
}

/* Only casts may follow a literal: "::numeric(10,2)", "::\"bit\"", "::text[]". */
static bool only_casts(const char *s)
{
    if (!*s)
        return true;
    if (s[0] != ':' || s[1] != ':')
        return false;
    for (; *s; s++)
        if (!is_word_char(*s) && !strchr(":\" ,()[]", *s))
            return false;
    return true;
}

/* Append a literal's text. Return: past it, NULL when @s starts none. */
static const char *take_literal(const char *s, struct wf_buf *out)
{
    const char *start = s;

    if (*s == '\'')
        return take_quoted(s, false, out);
    if ((*s == 'E' || *s == 'B') && s[1] == '\'')
        return take_quoted(s + 1, *s == 'E', out);
    if (*s == '-')
        s++;
    if ((*s >= '0' && *s <= '9') || !strncmp(s, "true", 4) || !strncmp(s, "false", 5))
        while (is_word_char(*s))
            s++;
    else
        return NULL;
    wf_buf_put(out, start, (size_t)(s - start));
    return s;
}

/* A call, perhaps the start of a longer expression: Debezium takes both as "a function". */
static bool is_call(const char *s)
{
    s += *s == '(';
    if (!is_word_char(*s))
        return false;
    while (is_word_char(*s))
        s++;
    return *s == '(';
}

/* CURRENT_USER, CURRENT_DATE: SQL's functions without parentheses. */
static bool is_sql_word(const char *s)
{
    for (; *s; s++)
        if ((*s < 'A' || *s > 'Z') && *s != '_')
            return false;
    return true;
}

/* What an expression is; a literal's or word's text goes to @out. */
static enum expr_kind classify(const char *expr, struct wf_buf *out)
{
    bool paren = *expr == '(';
    const char *rest = take_literal(expr + paren, out);

    if (rest && paren)
        rest = *rest == ')' ? rest + 1 : NULL;
    if (rest && only_casts(rest))
        return EXPR_LITERAL;
    wf_buf_reset(out);
    if (is_call(expr))
        return EXPR_CALL;
    if (!is_sql_word(expr) || !strcmp(expr, "NULL"))
        return EXPR_OTHER;
    wf_buf_str(out, expr);
    return EXPR_WORD;
}

/* ---- JSON of a value, by its Avro bytes ---- */

/* As Java prints: 1.5, 2.0, 1.0E10; the shortest digits that read back as the same value. */
static void put_java_float(struct wf_buf *out, double d, bool single)
{
    char text[40], digits[24];
    int exp10, n = 0;

    for (int prec = 0; prec < 17; prec++) {
        snprintf(text, sizeof(text), "%.*e", prec, d);
        if (single ? strtof(text, NULL) == (float)d : strtod(text, NULL) == d)
            break;
    }
    exp10 = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    for (const char *s = text; *s != 'e'; s++)
        if (*s >= '0' && *s <= '9')
            digits[n++] = *s;
    digits[n] = '\0';
    if (*text == '-')
        wf_buf_byte(out, '-');
    if (exp10 >= -3 && exp10 < 7) {
        double shown = d < 0 ? -d : d;
        int decimals = n - 1 - exp10;

        wf_buf_printf(out, "%.*f", decimals < 1 ? 1 : decimals, shown);
    } else {
        wf_buf_printf(out, "%c.%sE%d", digits[0], n > 1 ? digits + 1 : "0", exp10);
    }
}

/* Bytes as a string of the characters U+0000 to U+00FF (Avro, "Complex Types", default of bytes) */
static void put_latin1(struct wf_buf *out, const unsigned char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char utf8[2] = {(unsigned char)(0xc0 | s[i] >> 6),
                                       (unsigned char)(0x80 | (s[i] & 0x3f))};

        if (s[i] < 0x80)
            wf_buf_json(out, (const char *)&s[i], 1);
        else
            wf_buf_put(out, utf8, 2);
    }
}

static bool put_float_json(struct wf_buf *out, const unsigned char *p, bool single)
{
    uint64_t bits = 0;
    double d;
    float f;

    for (unsigned i = 0; i < (single ? 4u : 8u); i++)
        bits |= (uint64_t)p[i] << (8 * i);
    if (single) {
        uint32_t half = (uint32_t)bits;

        memcpy(&f, &half, sizeof(f));
        d = (double)f;
    } else {
        memcpy(&d, &bits, sizeof(d));
    }
    if (!__builtin_isfinite(d))
        return false; /* JSON has no such number */
    put_java_float(out, d, single);
    return true;
}

/* Return: false for a value that a JSON default cannot show. */
static bool put_json(struct wf_buf *out, const char *base, const struct wf_buf *avro)
{
    const unsigned char *p = avro->data, *end = p + avro->len;
    int64_t n = 0;

    switch (base[0]) {
    case 'b':
        if (base[1] == 'o') {
            wf_buf_str(out, *p ? "true" : "false");
            return true;
        }
        wf_get_long(&p, end, &n);
        wf_buf_byte(out, '"');
        put_latin1(out, p, (size_t)n);
        wf_buf_byte(out, '"');
        return true;
    case 's':
        wf_get_long(&p, end, &n);
        wf_buf_byte(out, '"');
        wf_buf_json(out, (const char *)p, (size_t)n);
        wf_buf_byte(out, '"');
        return true;
    case 'i':
    case 'l':
        wf_get_long(&p, end, &n);
        wf_buf_printf(out, "%lld", (long long)n);
        return true;
    case 'f':
    case 'd':
        return put_float_json(out, p, base[0] == 'f');
    default:
        return false; /* records have no defaults */
    }
}

/* The PG text that stands for the expression, or NULL. */
static const char *default_text(const struct wf_type *row, const char *expr, struct wf_buf *text)
{
    enum expr_kind kind = classify(expr, text);

    wf_buf_byte(text, '\0');
    if (kind == EXPR_LITERAL || (kind == EXPR_WORD && row->dflt == WF_DFLT_WORD))
        return text->failed ? NULL : (const char *)text->data;
    if (kind == EXPR_CALL || (kind == EXPR_WORD && row->dflt == WF_DFLT_CLOCK))
        return row->call;
    return NULL;
}

/* PostgreSQL prints a boolean default as true or false, the converter reads t or f. */
static const char *as_value(const struct wf_coltype *t, const char *text)
{
    if (strcmp(t->avro.base, "boolean") != 0 || !strchr("tf", text[0]))
        return text;
    return text[0] == 't' ? "t" : "f";
}

bool wf_type_default(const struct wf_coltype *t, const char *expr, struct wf_buf *avro,
                     struct wf_buf *json)
{
    enum wf_conv_why why;
    struct wf_buf text;
    const char *value;
    bool ok = false;

    if (t->row->dflt == WF_DFLT_NONE || t->avro.record != WF_RECORD_NONE)
        return false;
    wf_buf_init(&text, DEFAULT_MAX);
    value = default_text(t->row, expr, &text);
    if (value) {
        value = as_value(t, value);
        ok = wf_type_put(t, value, strlen(value), avro, &why) && put_json(json, t->avro.base, avro);
    }
    wf_buf_byte(json, '\0');
    wf_buf_deinit(&text);
    return ok && !json->failed;
}
