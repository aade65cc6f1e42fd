#include "profile.h"

static const struct wf_profile_rules rules[] = {
    [WF_PROFILE_DEBEZIUM] = {.shape = WF_SHAPE_DEBEZIUM, .required_by_catalog = true},
    [WF_PROFILE_STRICT] = {.shape = WF_SHAPE_DEBEZIUM,
                           .required_by_catalog = true,
                           .ts_ns = true,
                           .context_headers = true,
                           .null_as_default = true,
                           .truncate_in_topic = true,
                           .keyless_tombstones = true,
                           .partial_unique_keys = true},
    [WF_PROFILE_NATIVE] = {.shape = WF_SHAPE_NATIVE},
    [WF_PROFILE_CONNECT] = {.shape = WF_SHAPE_DEBEZIUM, .required_by_catalog = true},
    [WF_PROFILE_ROW] = {.shape = WF_SHAPE_ROW},
};

const struct wf_profile_rules *wf_profile_rules(const struct wf_format_conf *conf)
{
    return &rules[conf->profile];
}

/* What AUTO means. */
struct auto_modes {
    int time, zoned, interval, hstore, toast;
    bool unknown;
};

static const struct auto_modes by_profile[] = {
    [WF_PROFILE_DEBEZIUM] = {WF_TIME_ADAPTIVE, WF_ZONED_STRING, WF_INTERVAL_NUMERIC, WF_HSTORE_JSON,
                             WF_TOAST_PLACEHOLDER_MODE, true},
    [WF_PROFILE_STRICT] = {WF_TIME_ADAPTIVE, WF_ZONED_STRING, WF_INTERVAL_NUMERIC, WF_HSTORE_JSON,
                           WF_TOAST_PLACEHOLDER_MODE, false},
    [WF_PROFILE_NATIVE] = {WF_TIME_MICROS, WF_ZONED_TIMESTAMP_MICROS, WF_INTERVAL_AUTO,
                           WF_HSTORE_MAP, WF_TOAST_MARK, true},
    [WF_PROFILE_CONNECT] = {WF_TIME_CONNECT, WF_ZONED_AUTO, WF_INTERVAL_STRING, WF_HSTORE_JSON,
                            WF_TOAST_PLACEHOLDER_MODE, true},
    [WF_PROFILE_ROW] = {WF_TIME_MICROS, WF_ZONED_TIMESTAMP_MICROS, WF_INTERVAL_AUTO, WF_HSTORE_MAP,
                        WF_TOAST_HALT, true},
};

static int choose(int chosen, int automatic, int by_itself)
{
    return chosen == automatic ? by_itself : chosen;
}

enum wf_toast_mode wf_profile_toast(const struct wf_format_conf *conf)
{
    return (enum wf_toast_mode)choose(conf->toast_mode, WF_TOAST_AUTO,
                                      by_profile[conf->profile].toast);
}

struct wf_type_modes wf_profile_modes(const struct wf_format_conf *conf)
{
    const struct auto_modes *dflt = &by_profile[conf->profile];

    return (struct wf_type_modes){
        .profile = conf->profile,
        .decimal = conf->decimal_mode,
        .time = choose(conf->time_mode, WF_TIME_AUTO, dflt->time),
        .zoned = choose(conf->zoned_mode, WF_ZONED_AUTO, dflt->zoned),
        .interval = choose(conf->interval_mode, WF_INTERVAL_AUTO, dflt->interval),
        .hstore = choose(conf->hstore_mode, WF_HSTORE_AUTO, dflt->hstore),
        .binary = conf->binary_mode,
        .array = conf->array_mode,
        .lossy = conf->lossy_mode,
        .names = conf->name_mode,
        .unknown = conf->unknown_mode == WF_UNKNOWN_AUTO ? dflt->unknown
                                                         : conf->unknown_mode == WF_UNKNOWN_ON,
        .money_digits = (int)conf->money_digits,
        .placeholder = conf->placeholder ? conf->placeholder : WF_TOAST_PLACEHOLDER,
    };
}
