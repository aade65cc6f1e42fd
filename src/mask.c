#include "mask.h"

#include <stdlib.h>
#include <string.h>

#include "avro_put.h"
#include "pattern.h"
#include "types_conv.h"

#define DIGEST_LEN 32 /* SHA-256 */
#define LENGTH_MAX 1000000

bool wf_mask_read(const char *spec, struct wf_mask *out)
{
    char *end;
    long n;

    *out = (struct wf_mask){0};
    if (!strcmp(spec, "hash")) {
        out->kind = WF_MASK_HASH;
        return true;
    }
    if (!strncmp(spec, "fixed ", 6) || !strcmp(spec, "fixed")) {
        out->kind = WF_MASK_FIXED;
        out->text = spec + (spec[5] ? 6 : 5);
        return true;
    }
    if (strncmp(spec, "truncate ", 9) != 0 || spec[9] < '0' || spec[9] > '9')
        return false;
    n = strtol(spec + 9, &end, 10);
    if (*end || n > LENGTH_MAX)
        return false;
    out->kind = WF_MASK_TRUNCATE;
    out->length = (uint32_t)n;
    return true;
}

enum wf_rc wf_mask_new(const struct wf_source_conf *conf, const char *name, struct wf_mask **out,
                       struct wf_err *err)
{
    const char *spec = wf_patterns_value(&conf->mask, name);
    struct wf_mask *m;

    *out = NULL;
    if (!spec)
        return WF_OK;
    m = calloc(1, sizeof(*m));
    if (!m)
        return wf_err_set(err, WF_FATAL, "memory", "out of memory");
    if (wf_mask_read(spec, m) && m->kind == WF_MASK_HASH) {
        m->text = conf->mask_salt;
        m->digest = EVP_MD_CTX_new();
        if (!m->digest || EVP_DigestInit_ex(m->digest, EVP_sha256(), NULL) != 1) {
            wf_mask_free(m);
            return wf_err_set(err, WF_FATAL, "memory", "no SHA-256");
        }
    }
    *out = m;
    return WF_OK;
}

void wf_mask_free(struct wf_mask *m)
{
    if (!m)
        return;
    EVP_MD_CTX_free(m->digest);
    free(m);
}

static WF_CONV(conv_fixed)
{
    const char *text = t->mask->text;

    (void)s;
    (void)n;
    (void)why;
    return wf_put_bytes(p, text, strlen(text));
}

/* Characters are counted, not bytes; the text is UTF-8 (client_encoding). */
static WF_CONV(conv_truncate)
{
    uint32_t left = t->mask->length;
    size_t end = 0;

    (void)why;
    for (; end < n; end++)
        if (((unsigned char)s[end] & 0xc0) != 0x80 && left-- == 0)
            break;
    return wf_put_bytes(p, s, end);
}

static WF_CONV(conv_hash)
{
    const struct wf_mask *m = t->mask;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char text[2 * DIGEST_LEN];

    if (EVP_DigestInit_ex(m->digest, NULL, NULL) != 1 ||
        EVP_DigestUpdate(m->digest, m->text, strlen(m->text)) != 1 ||
        EVP_DigestUpdate(m->digest, s, n) != 1 || EVP_DigestFinal_ex(m->digest, digest, NULL) != 1)
        return wf_conv_fail(why, WF_CONV_BAD);
    wf_put_hex(text, digest, DIGEST_LEN, WF_HEX_LOWER);
    return wf_put_bytes(p, text, sizeof(text));
}

void wf_mask_apply(const struct wf_mask *m, struct wf_coltype *t)
{
    static const wf_conv_fn convs[] = {[WF_MASK_HASH] = conv_hash,
                                       [WF_MASK_FIXED] = conv_fixed,
                                       [WF_MASK_TRUNCATE] = conv_truncate};

    wf_type_free(t);
    *t = (struct wf_coltype){.conv = convs[m->kind],
                             .room = WF_LONG_ROOM,
                             .room_per_byte = m->kind == WF_MASK_TRUNCATE,
                             .row = t->row,
                             .zero = "",
                             .toast = WF_TOAST_TEXT,
                             .placeholder = t->placeholder,
                             .avro = {.base = "string"},
                             .mask = m};
    if (m->kind == WF_MASK_FIXED)
        t->room += (uint32_t)strlen(m->text);
    if (m->kind == WF_MASK_HASH)
        t->room += 2 * DIGEST_LEN;
}
