/* One byte that picks a reader of AWS's foreign texts, then the text: JSON or XML with keys, or a
 * shared configuration file. */
#include <stdlib.h>
#include <string.h>

#include "aws/credentials.h"
#include "aws/ini.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* What passes goes into header lines. */
static void check(const char *s)
{
    if (s && (!*s || strpbrk(s, "\r\n ")))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const keys[] = {"region", "kinesis.endpoint_url", "a"};
    struct wf_aws_keys out = {0};
    const char *text = (const char *)data + 1;
    bool ok = false;

    if (size < 1)
        return 0;
    if (data[0] % 3 == 0)
        ok = wf_aws_keys_of_json(text, size - 1, &out);
    else if (data[0] % 3 == 1)
        ok = wf_aws_keys_of_xml(text, size - 1, &out);
    for (size_t i = 0; data[0] % 3 == 2 && i < 3; i++) {
        free(wf_ini_get(text, size - 1, "profile a", keys[i]));
        free(wf_ini_get(text, size - 1, "default", keys[i]));
    }
    if (ok != (out.access_key && out.secret_key))
        abort();
    check(out.access_key);
    check(out.secret_key);
    check(out.token);
    wf_aws_keys_deinit(&out);
    return 0;
}
