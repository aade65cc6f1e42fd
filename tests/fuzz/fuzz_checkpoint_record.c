/* The value of a record of the checkpoint topic: what is taken is written again and means the same.
 */
#include <stdlib.h>

#include "checkpoint_record.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct wf_checkpoint cp, back;
    struct wf_err err;
    struct wf_buf text;

    if (wf_checkpoint_parse(data, size, &cp, &err) != WF_OK) {
        if (err.exit_code != WF_EXIT_REFUSED)
            abort();
        return 0;
    }
    wf_buf_init(&text, 65536);
    wf_checkpoint_record(&text, &cp, "p", 1, "w");
    if (text.failed || wf_checkpoint_parse(text.data, text.len, &back, &err) != WF_OK ||
        back.lsn != cp.lsn || back.system_id != cp.system_id || back.timeline != cp.timeline ||
        strcmp(back.slot, cp.slot) != 0 || back.split.final_lsn != cp.split.final_lsn ||
        back.split.changes != cp.split.changes || back.split.hash != cp.split.hash)
        abort();
    wf_buf_deinit(&text);
    return 0;
}
