#include "option.h"

#include <ctype.h>
#include <string.h>

#define WORD_MAX 48 /* longer words are not compared for suggestions */

struct wf_shown wf_shown(const char *text)
{
    struct wf_shown out;
    size_t max = sizeof(out.s) - 4, n = strnlen(text, max + 1);
    bool cut = n > max;

    if (cut) /* not in the middle of a UTF-8 character */
        for (n = max; n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80; n--)
            ;
    for (size_t i = 0; i < n; i++)
        out.s[i] = iscntrl((unsigned char)text[i]) ? '?' : text[i];
    memcpy(out.s + n, cut ? "..." : "", cut ? 4 : 1);
    return out;
}

/* Edit distance with neighbours swapped counted as one (optimal string alignment). */
static size_t distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    size_t row[3][WORD_MAX + 1];
    size_t *before = row[0], *last = row[1], *now = row[2], *spare;

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (size_t j = 0; j <= lb; j++)
        last[j] = j;
    for (size_t i = 1; i <= la; i++) {
        now[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = last[j - 1] + (tolower(a[i - 1]) != tolower(b[j - 1]));

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[lb];
}

/* Keep the nearest of several candidates; a third of the letters may differ, at least one. */
static void consider(const char *candidate, const char *word, const char **best, size_t *near)
{
    size_t d = distance(candidate, word);
    size_t limit = strlen(word) / 3 > 1 ? strlen(word) / 3 : 1;

    if (d <= limit && d < *near) {
        *near = d;
        *best = candidate;
    }
}

const char *wf_word_nearest(const char *const *words, const char *word)
{
    const char *best = NULL;
    size_t near = WORD_MAX;

    for (; *words; words++)
        consider(*words, word, &best, &near);
    return best;
}

const char *wf_opt_nearest(const struct wf_opt *opts, const char *key)
{
    const char *best = NULL;
    size_t near = WORD_MAX;

    for (; opts->key; opts++)
        consider(opts->key, key, &best, &near);
    return best;
}
