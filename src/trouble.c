#include "trouble.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "lsn.h"

#define RETRY_MIN_US 500000
#define RETRY_MAX_US 30000000

void wf_trouble_note(struct wf_trouble *t, struct wf_loop *loop, const struct wf_err *err,
                     uint64_t at_lsn, uint64_t over_lsn)
{
    bool blocked = err->rc == WF_REJECT;
    char fields[96];

    if (strcmp(t->code, err->code) != 0)
        t->retry_us = RETRY_MIN_US;
    else if (t->retry_us < RETRY_MAX_US)
        t->retry_us *= 2;
    snprintf(t->code, sizeof(t->code), "%s", err->code);
    t->lsn = over_lsn;
    t->retry_at_us = wf_mono_us() + t->retry_us;
    wf_loop_timer_set(loop, &t->timer, t->retry_us, NULL, NULL);
    snprintf(fields, sizeof(fields), "state=%s retry_ms=%" PRIu64 " lsn=%s",
             blocked ? "blocked" : "retrying", t->retry_us / 1000, wf_lsn_text(at_lsn).s);
    wf_log(blocked ? WF_LOG_ERROR : WF_LOG_WARN, err->code, fields,
           "%s; nothing is skipped: the slot keeps everything from here on", err->text);
}

void wf_trouble_end(struct wf_trouble *t, uint64_t safe_lsn)
{
    if (!wf_trouble_is_on(t) || safe_lsn <= t->lsn)
        return;
    wf_log(WF_LOG_INFO, "recovered", NULL, "over: %s", t->code);
    t->code[0] = '\0';
}
