#include "lsn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wf_lsn_text wf_lsn_text(uint64_t lsn)
{
    struct wf_lsn_text t;

    snprintf(t.s, sizeof(t.s), "%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
    return t;
}

/* One half: 1 to 8 hex digits, as strtoul would also take signs and blanks. */
static const char *half(const char *p, uint32_t *value)
{
    size_t n = strspn(p, "0123456789abcdefABCDEF");

    if (n < 1 || n > 8)
        return NULL;
    *value = (uint32_t)strtoul(p, NULL, 16);
    return p + n;
}

enum wf_rc wf_lsn_parse(const char *text, uint64_t *lsn, struct wf_err *err)
{
    uint32_t high, low;
    const char *p = half(text, &high);

    if (p && *p == '/')
        p = half(p + 1, &low);
    else
        p = NULL;
    if (!p || *p)
        return wf_err_set(err, WF_REJECT, "lsn", "\"%.64s\" is no WAL position like 16/B374D848",
                          text);
    *lsn = (uint64_t)high << 32 | low;
    return WF_OK;
}
