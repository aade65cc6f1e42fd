#include "expand.h"

#include <ctype.h>
#include <stdlib.h>

#define NAME_MAX_LEN 128

static void put(struct wf_buf *out, struct wf_buf *origin, const char *s, size_t n,
                enum wf_origin from)
{
    wf_buf_put(out, s, n);
    for (size_t i = 0; i < n && !out->failed; i++)
        wf_buf_byte(origin, (unsigned char)from);
}

static size_t name_len(const char *s)
{
    size_t n = 0;

    if (isdigit((unsigned char)*s))
        return 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_')
        n++;
    return n;
}

/* *@at stands behind "${"; on success it stands behind the closing brace. */
static enum wf_rc variable(const char **at, struct wf_buf *out, struct wf_buf *origin,
                           struct wf_err *err)
{
    char name[NAME_MAX_LEN];
    size_t n = name_len(*at), end = strcspn(*at, "}");
    const char *rest = *at + n, *value;
    bool has_default = strncmp(rest, ":-", 2) == 0;

    if (!(*at)[end])
        return wf_err_config(err, "\"${\" without \"}\"; hint: a dollar sign is written $$");
    if (n == 0 || n >= sizeof(name) || !(*rest == '}' || has_default))
        return wf_err_config(err, "\"${\" must be followed by a variable's name, as in ${VAR} or "
                                  "${VAR:-default}; hint: a dollar sign is written $$");
    memcpy(name, *at, n);
    name[n] = '\0';
    value = getenv(name);
    if (!has_default && !value)
        return wf_err_config(err,
                             "variable %s is not set; hint: set it in the environment, or give a "
                             "default: ${%s:-...}",
                             name, name);
    if (has_default && (!value || !*value))
        put(out, origin, rest + 2, end - n - 2, WF_FROM_TEXT);
    else
        put(out, origin, value, strlen(value), WF_FROM_ENV);
    *at += end + 1;
    return WF_OK;
}

enum wf_rc wf_expand(const char *text, struct wf_buf *out, struct wf_buf *origin,
                     struct wf_err *err)
{
    while (*text && !out->failed) {
        size_t n = strcspn(text, "$");
        enum wf_rc rc = WF_OK;

        put(out, origin, text, n, WF_FROM_TEXT);
        text += n;
        if (*text != '$')
            break;
        if (text[1] == '$') {
            put(out, origin, "$", 1, WF_FROM_TEXT);
            text += 2;
        } else if (text[1] == '{') {
            text += 2;
            rc = variable(&text, out, origin, err);
        } else {
            rc = wf_err_config(err, "a lone $; hint: write $$ for a dollar sign, ${VAR} for a "
                                    "variable");
        }
        if (rc != WF_OK)
            return rc;
    }
    if (out->failed || origin->failed)
        return wf_err_config(err, "longer than %zu bytes", out->max);
    return WF_OK;
}
