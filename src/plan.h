/* A plan is a relation version compiled for encoding: one converter per column. */
#ifndef WF_PLAN_H
#define WF_PLAN_H

#include "binary.h"
#include "catalog.h"
#include "config.h"
#include "err.h"
#include "mask.h"
#include "profile.h"
#include "relation.h"
#include "stream.h"
#include "types.h"

struct wf_plan_bytes {
    unsigned char *data;
    size_t len;
};

struct wf_plan_col {
    struct wf_coltype type;
    uint8_t nullable;     /* 1: a branch byte stands in front */
    uint8_t value_branch; /* encoded: 2 for ["null",T], 0 for [T,"null"] */
    uint8_t null_branch;
    bool identity;              /* part of the replica identity: a K tuple holds it */
    bool as_text;               /* no row of the converter table fits */
    bool omit;                  /* not part of events */
    uint8_t choice;             /* enum wf_column_choice */
    bool null_as_default;       /* a NULL is written as the default */
    bool warned;                /* that a value became null */
    bool lossy;                 /* its form would cut values, which is refused */
    struct wf_plan_bytes toast; /* Avro bytes of an unsent value; data NULL = none exists */
    struct wf_plan_bytes fill;  /* Avro bytes when a delete does not say: default or zero */
    struct wf_mask *mask;       /* or NULL */
    char *name;                 /* PostgreSQL's */
    char *field;                /* Avro's */
    char *dflt;                 /* JSON, NULL = none */
    char *pg_type;              /* storage of type.avro.pg_type */
    char *labels;               /* storage of type.avro.params */
    struct wf_binary *binary;   /* reads binary values; NULL = it cannot, or none will come */
    struct wf_type_in *tree;    /* storage of what an array's or composite's type points to */
    bool filled;                /* NOT NULL in the table, though nullable in the schema */
};

struct wf_plan {
    struct wf_stream *stream;   /* borrowed from the encoder */
    struct wf_plan_bytes table; /* Avro strings schema and table, for the source block */
    char *topic;
    char *names;   /* the topic whose name is the schemas' namespace */
    uint16_t *key; /* indexes into cols */
    uint16_t nkey, ncols;
    uint8_t name_mode;   /* enum wf_name_mode */
    uint8_t toast_mode;  /* enum wf_toast_mode */
    bool failed_to_null; /* what cannot be converted becomes null, with a warning */
    bool mark_unsent;    /* toast_mode is MARK */
    struct wf_buf text;  /* of the binary value in work */
    uint16_t nunsent;    /* columns of this event whose values were not sent */
    uint16_t *unsent;
    uint32_t collection; /* the transaction's counter, see txn_counts.h */
    struct wf_plan_col cols[];
};

/* What a plan depends on besides the table; borrowed for the call, conf and source for longer. */
struct wf_plan_env {
    const struct wf_format_conf *conf;   /* profile and modes */
    const struct wf_source_conf *source; /* selected and masked columns; NULL = all as they are */
    bool raw_text;                       /* the server does not see to it that texts are UTF-8 */
    const char *topic;                   /* of the table */
    const char *names; /* the topic that gives the schemas their namespace: @topic, but for a topic
                          that several tables share */
};

/**
 * wf_plan_new() - compile
 * @cat:   columns it does not know, or knows with another type than the relation (the live catalog
 *         may be ahead of the stream), are nullable without default
 *
 * Return: WF_OK with *out the caller's to wf_plan_free(); WF_REJECT when two columns get the same
 * Avro name, when a key's column is masked, excluded or unknown, or when format.keys names a column
 * that is not there.
 */
enum wf_rc wf_plan_new(struct wf_plan **out, const struct wf_relation *rel,
                       const struct wf_catalog *cat, const struct wf_plan_env *env,
                       struct wf_err *err);
void wf_plan_free(void *plan);

/* The NUL-terminated schema texts; @key stays empty when there is no key. */
void wf_plan_schemas(const struct wf_plan *plan, const struct wf_profile_rules *rules,
                     struct wf_buf *key, struct wf_buf *value);

/* A NULL arrived in a column the catalog calls NOT NULL: the catalog is ahead. From now on the
 * column is nullable; the schemas change. */
void wf_plan_relax(struct wf_plan_col *pc);

#endif
