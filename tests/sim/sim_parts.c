/* Decoder, encoder and what else stands between source and sink: each change has its numbers. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "aside.h"
#include "decoder.h"
#include "encode.h"
#include "failover.h"
#include "log.h"
#include "lsn.h"
#include "promotion.h"
#include "publication.h"
#include "registry.h"
#include "schema_ids.h"
#include "select.h"
#include "shapes.h"
#include "sim.h"
#include "sim_msg.h"
#include "tables.h"
#include "transform.h"

#define EVENTS_MAX 4

struct wf_decoder {
    struct wf_txn txn;
    const struct sim_item *item;
    char id[16];
    struct wf_col col;
    const struct sim_msg *msg;
};

struct wf_encoder {
    bool ready;
    struct wf_event ev[EVENTS_MAX];
    uint32_t number[EVENTS_MAX];
};

/* One of each per daemon; where the change in work comes from is the decoder's to know. */
static struct wf_decoder decoders[SIM_DAEMONS];
static struct wf_encoder encoders[SIM_DAEMONS];
static struct wf_stream streams[SIM_DAEMONS];
static struct sim_msg in_work[SIM_DAEMONS];

static struct wf_relcol cols[1] = {{.name = "id", .type_oid = 23, .typmod = -1, .key = true}};
static struct wf_relation wanted = {
    .oid = 1, .schema = "s", .name = "t", .ncols = 1, .cols = cols, .selected = 1};
static struct wf_relation unwanted = {
    .oid = 2, .schema = "s", .name = "u", .ncols = 1, .cols = cols, .selected = -1};

static unsigned self(void)
{
    return (unsigned)(sim_self() - sim.daemon);
}

void sim_parts_reset(void)
{
    memset(decoders, 0, sizeof(decoders));
}

/* ---- decoder.h ---- */

static void options(const struct wf_start *start, struct wf_buf *out)
{
    (void)start, (void)out;
}

static enum wf_rc open_decoder(struct wf_decoder **d, struct wf_err *err)
{
    (void)err;
    *d = &decoders[self()];
    **d = (struct wf_decoder){0};
    return WF_OK;
}

static void begin(struct wf_decoder *d, const struct sim_item *item)
{
    d->item = item;
    d->txn = (struct wf_txn){.final_lsn = item->final_lsn, .xid = 1};
}

static void fill_change(struct wf_decoder *d, const struct sim_msg *m, struct wf_change *out)
{
    int n = snprintf(d->id, sizeof(d->id), "%u.%u", m->item, m->part);

    d->col = (struct wf_col){d->id, (uint32_t)n, WF_COL_TEXT};
    out->kind = WF_CHANGE_INSERT;
    out->rel = d->item->wanted[m->part - 1] ? &wanted : &unwanted;
    out->new_row = &d->col;
}

static enum wf_rc decode(struct wf_decoder *d, const struct wf_msg *msg, struct wf_change *out,
                         struct wf_err *err)
{
    struct sim_msg m;
    const struct sim_item *item;

    memcpy(&m, msg->data, sizeof(m));
    item = &sim_pg.item[m.item];
    if (m.kind == SIM_MSG_RELATION)
        return WF_AGAIN;
    in_work[self()] = m;
    *out = (struct wf_change){.lsn = item->first_lsn, .txn = &d->txn};
    if (m.kind == SIM_MSG_BEGIN) {
        begin(d, item);
        out->kind = WF_CHANGE_BEGIN;
    } else if (m.kind == SIM_MSG_ALONE) {
        *out = (struct wf_change){.kind = WF_CHANGE_MESSAGE, .lsn = item->final_lsn};
    } else if (d->item != item) {
        sim_bad("a change without its BEGIN reaches the decoder");
        return wf_err_set(err, WF_FATAL, "decoder", "no BEGIN");
    } else if (m.kind == SIM_MSG_COMMIT) {
        d->txn.end_lsn = item->end_lsn;
        out->kind = WF_CHANGE_COMMIT;
    } else {
        fill_change(d, &m, out);
    }
    return WF_OK;
}

static void reset(struct wf_decoder *d, uint64_t start_lsn)
{
    (void)start_lsn;
    d->item = NULL;
}

static void close_decoder(struct wf_decoder *d)
{
    (void)d;
}

static const struct wf_decoder_ops decoder = {
    .name = "pgoutput",
    .options = options,
    .open = open_decoder,
    .decode = decode,
    .reset = reset,
    .close = close_decoder,
};
const struct wf_decoder_ops *const wf_decoders[] = {&decoder, NULL};

bool wf_transform_decide(const struct wf_config *config, struct wf_change *c)
{
    (void)config;
    return !c->rel || c->rel->selected > 0;
}

bool wf_select_table(const struct wf_source_conf *conf, const char *schema, const char *table)
{
    (void)conf, (void)schema, (void)table;
    return true;
}

/* ---- encode.h ---- */

enum wf_rc wf_encoder_new(struct wf_encoder **out, const struct wf_format_conf *conf,
                          const struct wf_source_conf *source, enum wf_framing framing,
                          size_t max_event, const struct wf_origin *origin, struct wf_err *err)
{
    (void)conf, (void)source, (void)framing, (void)max_event, (void)origin, (void)err;
    *out = &encoders[self()];
    **out = (struct wf_encoder){0};
    streams[self()] = (struct wf_stream){.topic = "t", .key_schema = "k"};
    return WF_OK;
}

void wf_encoder_free(struct wf_encoder *e)
{
    (void)e;
}

void wf_encoder_begin(struct wf_encoder *e)
{
    (void)e;
}

bool wf_encoder_ends(const struct wf_encoder *e)
{
    (void)e;
    return sim.ends;
}

void wf_encoder_unready(struct wf_encoder *e)
{
    e->ready = false;
}

static void number(struct wf_encoder *e, uint32_t i, uint32_t n)
{
    e->number[i] = n;
    e->ev[i] = (struct wf_event){.stream = &streams[self()],
                                 .key = (const unsigned char *)&e->number[i],
                                 .key_len = sizeof(e->number[i]),
                                 .value = (const unsigned char *)&e->number[i],
                                 .value_len = sizeof(e->number[i])};
}

enum wf_rc wf_encode(struct wf_encoder *e, const struct wf_change *c, int64_t now_us,
                     struct wf_events *out, struct wf_err *err)
{
    const struct sim_msg *m = &in_work[self()];
    const struct sim_item *item = &sim_pg.item[m->item];
    uint32_t first = item->first_event, which;

    (void)now_us, (void)err;
    if (sim_one_in(sim.weather.again))
        return WF_AGAIN;
    out->ev = e->ev;
    out->n = 1;
    if (c->kind == WF_CHANGE_HEARTBEAT) {
        number(e, 0, SIM_HEARTBEAT);
        return WF_OK;
    }
    which = c->kind == WF_CHANGE_COMMIT ? item->changes : m->part ? m->part - 1 : 0;
    for (uint32_t i = 0; i < which; i++)
        first += item->events[i];
    out->n = item->events[which];
    for (uint32_t i = 0; i < out->n; i++)
        number(e, i, first + i);
    return WF_OK;
}

/* ---- shapes.h ---- */

struct wf_shapes *wf_shapes_new(const struct wf_shapes_env *env)
{
    return (struct wf_shapes *)(void *)env->encoder;
}

void wf_shapes_free(struct wf_shapes *s)
{
    (void)s;
}

enum wf_rc wf_shapes_ready(struct wf_shapes *s, const struct wf_change *c,
                           const struct wf_sink_ops *ops, struct wf_sink *sink, struct wf_err *err)
{
    struct wf_encoder *e = (struct wf_encoder *)(void *)s;
    enum wf_rc rc = WF_OK;

    (void)c;
    if (!e->ready)
        rc = ops->prepare(sink, &streams[self()], err);
    e->ready = rc == WF_OK;
    return rc;
}

bool wf_shapes_busy(const struct wf_shapes *s)
{
    (void)s;
    return false;
}

void wf_shapes_forget(struct wf_shapes *s)
{
    (void)s;
}

/* ---- what the simulator has none of ---- */

struct wf_tables *wf_tables_new(const struct wf_source_conf *conf, struct wf_worker *worker)
{
    (void)conf, (void)worker;
    return (struct wf_tables *)(void *)&sim;
}

void wf_tables_free(struct wf_tables *t)
{
    (void)t;
}

enum wf_rc wf_tables_look(struct wf_tables *t, const struct wf_table_name *name,
                          struct wf_table **out, struct wf_err *err)
{
    (void)t, (void)name, (void)out, (void)err;
    return WF_AGAIN;
}

void wf_tables_forget(struct wf_tables *t)
{
    (void)t;
}

struct wf_http *wf_http_new(struct wf_loop *loop, struct wf_err *err)
{
    (void)loop, (void)err;
    return NULL;
}

void wf_http_free(struct wf_http *h)
{
    (void)h;
}

enum wf_rc wf_registry_new(struct wf_registry **out, const struct wf_registry_env *env,
                           struct wf_err *err)
{
    (void)out, (void)env, (void)err;
    return WF_FATAL;
}

void wf_registry_free(struct wf_registry *r)
{
    (void)r;
}

enum wf_rc wf_schema_ids_open(struct wf_schema_ids **out, const char *dir,
                              const struct wf_list *registry, struct wf_worker *worker,
                              struct wf_err *err)
{
    (void)out, (void)dir, (void)registry, (void)worker, (void)err;
    return WF_FATAL;
}

void wf_schema_ids_close(struct wf_schema_ids *s)
{
    (void)s;
}

enum wf_rc wf_publication_exists(PGconn *conn, const char *name, wf_cancel *cancel, bool *exists,
                                 struct wf_err *err)
{
    (void)conn, (void)name, (void)cancel, (void)err;
    *exists = true;
    return WF_OK;
}

enum wf_rc wf_publication_create(PGconn *conn, const struct wf_source_conf *conf,
                                 enum wf_unsafe unsafe, wf_cancel *cancel, struct wf_err *err)
{
    (void)conn, (void)conf, (void)unsafe, (void)cancel, (void)err;
    return WF_OK;
}

enum wf_rc wf_publication_filters(PGconn *conn, const struct wf_source_conf *conf,
                                  wf_cancel *cancel, struct wf_err *err)
{
    (void)conn, (void)conf, (void)cancel, (void)err;
    return WF_OK;
}

void wf_log(enum wf_level level, const char *code, const char *fields, const char *fmt, ...)
{
    va_list ap;
    char text[256];

    (void)level;
    if (!sim.verbose)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    sim_trace("log %s %s%s%.150s", code, fields ? fields : "", fields ? " " : "", text);
}

/* ---- what a schedule has none of: promotions, publications, changes that cannot be published ----
 */

bool wf_failover_wanted(const struct wf_source_conf *conf, const struct wf_server *server)
{
    (void)conf, (void)server;
    return false;
}

enum wf_rc wf_failover_check(const struct wf_source_conf *conf, const struct wf_server *server,
                             struct wf_err *err)
{
    (void)conf, (void)server, (void)err;
    return WF_OK;
}

enum wf_rc wf_failover_ready(PGconn *conn, const struct wf_source_conf *conf, wf_cancel *cancel,
                             const struct wf_server *server, const struct wf_slot_info *slot,
                             struct wf_err *err)
{
    (void)conn, (void)conf, (void)cancel, (void)server, (void)slot, (void)err;
    return WF_OK;
}

void wf_promotion_watch(struct wf_promotion *p, PGconn *conn, void (*fn)(void *arg), void *arg)
{
    (void)p, (void)conn, (void)fn, (void)arg;
}

void wf_promotion_stop(struct wf_promotion *p)
{
    (void)p;
}

void wf_promotion_deinit(struct wf_promotion *p)
{
    (void)p;
}

enum wf_rc wf_publication_statement(PGconn *conn, const struct wf_source_conf *conf,
                                    wf_cancel *cancel, struct wf_buf *sql, struct wf_err *err)
{
    (void)conn, (void)conf, (void)cancel, (void)sql, (void)err;
    return WF_OK;
}

size_t wf_config_largest(const struct wf_config *c)
{
    (void)c;
    return SIZE_MAX;
}

struct wf_aside *wf_aside_new(const struct wf_config *config, const char *plugin,
                              struct wf_worker *worker)
{
    static char none;

    (void)config, (void)plugin, (void)worker;
    return (struct wf_aside *)(void *)&none;
}

void wf_aside_free(struct wf_aside *a)
{
    (void)a;
}

enum wf_rc wf_aside_take(struct wf_aside *a, struct wf_change *c, const char *message, size_t len,
                         struct wf_err *err)
{
    (void)a, (void)c, (void)message, (void)len, (void)err;
    return WF_REJECT;
}

enum wf_rc wf_failover_held_back(PGconn *conn, wf_cancel *cancel, char *out, size_t size,
                                 struct wf_err *err)
{
    (void)conn, (void)cancel, (void)size, (void)err;
    out[0] = '\0';
    return WF_OK;
}
