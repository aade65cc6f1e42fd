#include "secret.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

/* What libpq takes as a secret (PostgreSQL, "Parameter Key Words"), up to release 18. */
static const char *const secret_words[] = {
    "password",         "sslpassword",         "scram_client_key",
    "scram_server_key", "oauth_client_secret", "secret",
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool is_secret_word(const char *s, size_t n)
{
    for (size_t i = 0; i < sizeof(secret_words) / sizeof(secret_words[0]); i++)
        if (strlen(secret_words[i]) == n && strncasecmp(secret_words[i], s, n) == 0)
            return true;
    return false;
}

/* Length of a value in libpq's keyword form: 'quoted with \' inside' or up to a blank. */
static size_t keyword_value(const char *s)
{
    bool quoted = *s == '\'';
    size_t n = quoted ? 1 : 0;

    while (s[n] && (quoted ? s[n] != '\'' : !isspace((unsigned char)s[n]))) {
        if (s[n] == '\\' && s[n + 1])
            n++;
        n++;
    }
    return quoted && s[n] ? n + 1 : n;
}

/* "password = value" at @at; in a URL's query also "pass%77ord=value", whose name is decoded. */
static bool keyword_at(const char *text, size_t at, size_t *start, size_t *len)
{
    bool query = at > 0 && (text[at - 1] == '?' || text[at - 1] == '&');
    size_t n = 0;

    if (at > 0 && is_word(text[at - 1]))
        return false;
    while (is_word(text[at + n]) || (query && text[at + n] == '%'))
        n++;
    if (!is_secret_word(text + at, n) && !(query && memchr(text + at, '%', n)))
        return false;
    at += n;
    while (isspace((unsigned char)text[at]))
        at++;
    if (text[at] != '=')
        return false;
    at++;
    while (isspace((unsigned char)text[at]))
        at++;
    *start = at;
    *len = query ? strcspn(text + at, "& \t\r\n") : keyword_value(text + at);
    return *len > 0;
}

/* "://user:password@" at @at. The password ends at the first '@' for libpq and at the last one
 * for curl: take the longer one. */
static bool userinfo_at(const char *text, size_t at, size_t *start, size_t *len)
{
    size_t begin = at + 3, stop, end = 0, colon;

    if (strncmp(text + at, "://", 3) != 0)
        return false;
    stop = begin + strcspn(text + begin, "/ \t\r\n");
    colon = begin + strcspn(text + begin, ":");
    if (!memchr(text + begin, '@', stop - begin)) /* perhaps the password holds a slash */
        stop = begin + strcspn(text + begin, "? \t\r\n");
    for (size_t i = begin; i < stop; i++)
        if (text[i] == '@')
            end = i;
    if (colon + 1 >= end)
        return false;
    *start = colon + 1;
    *len = end - *start;
    return true;
}

bool wf_secret_find(const char *text, size_t from, size_t *start, size_t *len)
{
    for (size_t i = from; text[i]; i++)
        if (userinfo_at(text, i, start, len) || keyword_at(text, i, start, len))
            return true;
    return false;
}

void wf_secret_mask(const char *text, struct wf_buf *out)
{
    size_t at = 0, start, len;

    while (wf_secret_find(text, at, &start, &len)) {
        wf_buf_put(out, text + at, start - at);
        wf_buf_str(out, WF_SECRET_MASK);
        at = start + len;
    }
    wf_buf_str(out, text + at);
}

bool wf_secret_key(const char *key)
{
    static const char *const parts[] = {"password", "secret",      "passphrase",        "token",
                                        "jaas",     "credentials", "oauthbearer.config"};
    size_t len = strlen(key);

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (strcasestr(key, parts[i]))
            return true;
    return len >= 7 && strcasecmp(key + len - 7, "key.pem") == 0;
}

void wf_secret_free(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}
