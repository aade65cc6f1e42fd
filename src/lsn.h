/* WAL positions as people write them. */
#ifndef WF_LSN_H
#define WF_LSN_H

#include <stdint.h>

#include "err.h"

struct wf_lsn_text {
    char s[18]; /* "FFFFFFFF/FFFFFFFF" */
};

/* "16/B374D848", for printf arguments: wf_lsn_text(lsn).s */
struct wf_lsn_text wf_lsn_text(uint64_t lsn);

/**
 * wf_lsn_parse() - read a WAL position
 * @text:  "16/B374D848": two hex halves of 1 to 8 digits, nothing before or after
 * @lsn:   out, byte position in the WAL; left alone on failure
 *
 * Return: WF_OK, or WF_REJECT with @err naming the offending text.
 * Source: PostgreSQL documentation, "pg_lsn Type".
 */
enum wf_rc wf_lsn_parse(const char *text, uint64_t *lsn, struct wf_err *err);

#endif
