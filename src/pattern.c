#include "pattern.h"

#include <fnmatch.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_regex(const char *pattern)
{
    size_t n = strlen(pattern);

    return n > 2 && pattern[0] == '/' && pattern[n - 1] == '/';
}

/* Anchored at both ends, as Debezium's are. Return: 0 or regcomp()'s error. */
static int compile(regex_t *re, const char *pattern)
{
    char *text;
    int rc;

    if (asprintf(&text, "^(%.*s)$", (int)strlen(pattern) - 2, pattern + 1) < 0)
        return REG_ESPACE;
    rc = regcomp(re, text, REG_EXTENDED | REG_NOSUB);
    free(text);
    return rc;
}

bool wf_pattern_matches(const char *pattern, const char *name)
{
    bool matches;
    regex_t re;

    if (!is_regex(pattern))
        return fnmatch(pattern, name, 0) == 0;
    if (compile(&re, pattern) != 0)
        return false;
    matches = regexec(&re, name, 0, NULL, 0) == 0;
    regfree(&re);
    return matches;
}

bool wf_pattern_fault(const char *pattern, char *why, size_t size)
{
    regex_t re;
    int rc;

    if (!is_regex(pattern))
        return false;
    rc = compile(&re, pattern);
    if (rc != 0)
        regerror(rc, &re, why, size);
    else
        regfree(&re);
    return rc != 0;
}

bool wf_pattern_is_name(const char *pattern)
{
    return !is_regex(pattern) && !strpbrk(pattern, "*?[\\");
}

bool wf_patterns_match(const struct wf_list *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (wf_pattern_matches(patterns->items[i], name))
            return true;
    return false;
}

const char *wf_patterns_value(const struct wf_map *patterns, const char *name)
{
    for (size_t i = 0; i < patterns->n; i++)
        if (wf_pattern_matches(patterns->items[i].key, name))
            return patterns->items[i].value;
    return NULL;
}
