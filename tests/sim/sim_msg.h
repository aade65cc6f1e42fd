/* What a walsender of the simulator sends. */
#ifndef WF_SIM_MSG_H
#define WF_SIM_MSG_H

#include <stdint.h>

#define SIM_MSG_BEGIN 'B'
#define SIM_MSG_RELATION 'R'
#define SIM_MSG_CHANGE 'I'
#define SIM_MSG_COMMIT 'C'
#define SIM_MSG_ALONE 'M'

struct sim_msg {
    char kind;
    uint32_t item, part; /* part: 1 is the first change */
};

#endif
