/* The values of records of the checkpoint topic: what is taken is written again and means the same.
 */
#include <stdlib.h>

#include "../../sinks/kafka_pins.h"
#include "checkpoint_record.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void try_pin(const unsigned char *data, size_t size)
{
    struct wf_kafka_pin pin, back;
    struct wf_err err;
    struct wf_buf text;

    if (wf_kafka_pin_parse(data, size, &pin, &err) != WF_OK) {
        if (err.exit_code != WF_EXIT_REFUSED)
            abort();
        return;
    }
    wf_buf_init(&text, 65536);
    wf_kafka_pin_record(&text, &pin);
    if (text.failed || wf_kafka_pin_parse(text.data, text.len, &back, &err) != WF_OK ||
        strcmp(back.name, pin.name) != 0 || strcmp(back.id, pin.id) != 0 ||
        back.partitions != pin.partitions)
        abort();
    wf_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct wf_checkpoint cp, back;
    struct wf_err err;
    struct wf_buf text;

    try_pin(data, size);
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
