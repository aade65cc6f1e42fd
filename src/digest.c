#include "digest.h"

#include <openssl/evp.h>

#include "buf.h"

bool wf_sha256_hex(const void *data, size_t len, char out[WF_SHA256_HEX + 1])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (EVP_Digest(data, len, md, &n, EVP_sha256(), NULL) != 1 || n != WF_SHA256_HEX / 2)
        return false;
    *wf_put_hex((unsigned char *)out, md, n, WF_HEX_LOWER) = '\0';
    return true;
}
