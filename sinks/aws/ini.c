#include "aws/ini.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* [at, at+n), never NUL-terminated. */
struct span {
    const char *at;
    size_t n;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
    while (s.n && is_blank(s.at[0])) {
        s.at++;
        s.n--;
    }
    while (s.n && is_blank(s.at[s.n - 1]))
        s.n--;
    return s;
}

static struct span next_line(const char **at, const char *end)
{
    const char *nl = memchr(*at, '\n', (size_t)(end - *at));
    struct span line = {*at, (size_t)((nl ? nl : end) - *at)};

    *at = nl ? nl + 1 : end;
    return line;
}

static bool equals(struct span s, const char *text, size_t n)
{
    return s.n == n && memcmp(s.at, text, n) == 0;
}

/* "[profile  shop]" is "profile shop". */
static bool is_section(struct span line, const char *wanted)
{
    struct span name;
    size_t word = strcspn(wanted, " ");

    line.at++;
    line.n--;
    name = (struct span){line.at, 0};
    while (name.n < line.n && line.at[name.n] != ']')
        name.n++;
    name = trim(name);
    if (!wanted[word])
        return equals(name, wanted, word);
    if (name.n <= word || memcmp(name.at, wanted, word) != 0 || !is_blank(name.at[word]))
        return false;
    name = trim((struct span){name.at + word, name.n - word});
    return equals(name, wanted + word + 1, strlen(wanted + word + 1));
}

/* A blank and a comment sign end a value. */
static struct span without_comment(struct span s)
{
    for (size_t i = 1; i < s.n; i++) {
        if ((s.at[i] == '#' || s.at[i] == ';') && is_blank(s.at[i - 1]))
            s.n = i;
    }
    return trim(s);
}

char *wf_ini_get(const char *text, size_t len, const char *section, const char *key)
{
    const char *at = text, *end = text + len, *dot = strchr(key, '.');
    const char *inner = dot ? dot + 1 : NULL;
    size_t outer = dot ? (size_t)(dot - key) : strlen(key);
    bool inside = false, nested = false;
    struct span found = {NULL, 0};

    while (at < end) {
        struct span line = next_line(&at, end), body = trim(line), name, value;
        bool indented = line.n && is_blank(line.at[0]);
        const char *sign = body.n ? memchr(body.at, '=', body.n) : NULL;

        if (!body.n || body.at[0] == '#' || body.at[0] == ';')
            continue;
        if (body.at[0] == '[' && !indented) {
            inside = is_section(body, section);
            nested = false;
            continue;
        }
        if (!inside || !sign)
            continue;
        name = trim((struct span){body.at, (size_t)(sign - body.at)});
        value =
            without_comment(trim((struct span){sign + 1, body.n - (size_t)(sign + 1 - body.at)}));
        if (!indented)
            nested = equals(name, key, outer);
        if (inner ? indented && nested && equals(name, inner, strlen(inner))
                  : !indented && nested && value.n)
            found = value;
    }
    return found.at ? strndup(found.at, found.n) : NULL;
}
