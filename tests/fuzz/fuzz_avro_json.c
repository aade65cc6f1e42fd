/* A schema text, a newline, Avro bytes: read by the schema into JSON, which must then be JSON. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "avro_json.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const unsigned char *newline = size ? memchr(data, '\n', size) : NULL;
    struct wf_avro_reader *r = NULL;
    struct wf_err err;
    struct wf_buf out;
    size_t used;

    if (!newline)
        return 0;
    if (wf_avro_reader_new(&r, (const char *)data, (size_t)(newline - data), &err) != WF_OK)
        return 0;
    wf_buf_init(&out, 1u << 20);
    if (wf_avro_to_json(r, newline + 1, size - (size_t)(newline + 1 - data), &used, &out, &err) ==
        WF_OK) {
        json_error_t why;
        json_t *j = json_loadb((const char *)out.data, out.len,
                               JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);

        /* two things the checker cannot hold: a long decimal, NUL in a key */
        if (!j && json_error_code(&why) != json_error_numeric_overflow &&
            json_error_code(&why) != json_error_null_byte_in_key)
            abort();
        json_decref(j);
    }
    wf_buf_deinit(&out);
    wf_avro_reader_free(r);
    return 0;
}
